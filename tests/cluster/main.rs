//! Tests on a real Kubernetes control plane; see `README.md` beside this file.

// Only Linux has network and mount namespaces.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod basics;
mod day;
mod differential;
mod documentation;
mod eureka;
#[path = "../eureka/harness/programs.rs"]
mod eureka_programs;
mod examples;
mod harness;
mod kube_proxy;
mod lifecycle;
mod manifests;
mod ping;
mod resolver;
mod slices;
