//! A test for each rule. The doc lines name kube-proxy's own tests of the same rule.

pub(crate) mod world;

mod attacks;
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
