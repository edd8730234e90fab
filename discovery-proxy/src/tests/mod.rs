//! One test for each sentence of the rules, named after it. Upstream's own tests that say the same are named beside.

pub(crate) mod world;

mod change;
mod conntrack;
mod decide;
mod endpoints;
mod frontends;
mod health;
mod iptables;
mod ipvs;
mod nftables;
mod node_ports;
mod property;
mod service;
mod table;
mod text;
mod topology;
mod userspace;
mod validate;
