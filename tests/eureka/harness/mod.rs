//! Real Eureka servers, our pods, and the Service in front of the registry; see `README.md`.

mod java;
mod programs;
mod world;

pub(crate) use self::{
    java::{Consumer, Server},
    world::{on_eureka, until, until_endpoints, within},
};
