//! What must hold for any input from outside, as functions of bytes.
//!
//! Each [`Body`] gives bytes to one parser and panics if a property does not hold. The libFuzzer targets in
//! `fuzz/fuzz_targets` call the same bodies, with inputs that grow by coverage. `tests/bodies.rs` calls them on stable
//! with [`Mutator`]'s variants of real inputs: the same number of cases and the same inputs in every run.
//!
//! Two properties hold for every body:
//!
//! * An endpoint that comes out is one that a request can be sent to: see [`Addresses`].
//! * Text that a type prints is text that the type parses to an equal value, and is safe to log.

mod addresses;
mod dns_answers;
mod eureka;
mod http;
mod manifests;
mod mutate;
mod names;
mod resolv_conf;
mod slices;
mod text;

pub use addresses::Addresses;
pub use mutate::Mutator;

/// One parser of untrusted input, and what must hold for any bytes given to it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Body {
    /// The name, which is that of the libFuzzer target.
    pub name: &'static str,
    /// Checks one input. Panics if a property does not hold; invalid input is not a failure.
    pub check: fn(&[u8]),
    /// Returns real inputs, from which a [`Mutator`] makes others. At least one.
    pub corpus: fn() -> Vec<Vec<u8>>,
}

/// Names of Services and hosts, ports and address ranges.
pub const NAMES: Body = Body { name: "names", check: names::check, corpus: names::corpus };

/// `resolv.conf`.
pub const RESOLV_CONF: Body = Body { name: "resolv_conf", check: resolv_conf::check, corpus: resolv_conf::corpus };

/// Answers of nameservers.
pub const DNS_ANSWERS: Body = Body { name: "dns_answers", check: dns_answers::check, corpus: dns_answers::corpus };

/// Answers of a Eureka registry.
pub const EUREKA: Body = Body { name: "eureka", check: eureka::check, corpus: eureka::corpus };

/// Lists of EndpointSlices from an API server.
pub const SLICES: Body = Body { name: "slices", check: slices::check, corpus: slices::corpus };

/// Manifests of Services, EndpointSlices, Endpoints and Nodes.
pub const MANIFESTS: Body = Body { name: "manifests", check: manifests::check, corpus: manifests::corpus };
