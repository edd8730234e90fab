//! One test for each sentence of the rules, named after it. Upstream's own tests that say the same are named beside.

mod world;

mod decide;
mod endpoints;
mod iptables;
mod nftables;
mod node_ports;
mod service;
mod text;
mod topology;
mod userspace;
