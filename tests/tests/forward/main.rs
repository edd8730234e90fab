//! The forwarder on real sockets: it listens for Services on loopback, and pods are 127.0.0.x.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any;
mod change;
mod dial;
mod end;
mod fairness;
mod limit;
mod namespace;
mod pods;
mod refuse;
mod tcp;
mod tower;
mod udp;
mod world;
