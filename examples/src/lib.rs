//! Small programs in `src/bin/` that show one feature each. All of them run offline.
//!
//! ```sh
//! cargo run -p examples --bin quickstart
//! ```

/// Compiles the code of every README, as doc tests. Applications see these lines first.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../../README.md")]
    struct Workspace;

    #[doc = include_str!("../../discovery-core/README.md")]
    struct Core;

    #[doc = include_str!("../../discovery-reqwest/README.md")]
    struct Reqwest;

    #[doc = include_str!("../../discovery-tower/README.md")]
    struct Tower;

    #[doc = include_str!("../../discovery-tonic/README.md")]
    struct Tonic;

    #[doc = include_str!("../../discovery-eureka/README.md")]
    struct Eureka;

    #[doc = include_str!("../../discovery-testing/README.md")]
    struct Testing;
}
