//! Programs that show one thing each, offline: see `src/bin/`.
//!
//! ```sh
//! cargo run -p examples --bin quickstart
//! ```
