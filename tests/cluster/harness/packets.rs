//! Packet loss.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::node::SharedNode;

/// Rules of nft on the node that drop matching packets while this guard lives.
#[derive(Debug)]
#[must_use = "packets are dropped only while the guard lives"]
pub(crate) struct PacketLoss {
    node: SharedNode,
    table: String,
}

impl PacketLoss {
    pub(super) fn new(node: SharedNode, matching: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let table = format!("drop{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // After address translation, before any other filter.
        let chain = |hook: &str| {
            format!("chain {hook} {{ type filter hook {hook} priority 10; policy accept; {matching} counter drop; }};")
        };
        let rules = format!("table inet {table} {{ {} {} {} }}", chain("forward"), chain("output"), chain("input"));
        nft(&node, &rules);
        Self { node, table }
    }
}

impl Drop for PacketLoss {
    fn drop(&mut self) {
        nft(&self.node, &format!("delete table inet {}", self.table));
    }
}

fn nft(node: &SharedNode, rules: &str) {
    let mut command = Command::new("nft");
    command.arg(rules);
    let output = node.output(command, node.namespaces()).unwrap();
    assert!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr));
}
