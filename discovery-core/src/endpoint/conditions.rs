//! The three conditions of an endpoint.

/// What is known of an endpoint's state, with the defaults that Kubernetes gives to absent conditions
/// (`discovery.k8s.io/v1` `EndpointConditions`: ready and serving true, terminating false).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Conditions {
    /// Wants traffic.
    pub ready: bool,
    /// Answers, whether or not it is terminating.
    pub serving: bool,
    /// Is about to go.
    pub terminating: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { ready: true, serving: true, terminating: false }
    }
}
