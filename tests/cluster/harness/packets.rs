//! Packets that are lost.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::node::SharedNode;

/// Rules of nft on the node that drop what they match, until this is dropped.
#[derive(Debug)]
#[must_use = "packets are dropped as long as it lives"]
pub(crate) struct Dropping {
    node: SharedNode,
    table: String,
}

impl Dropping {
    pub(super) fn new(node: SharedNode, matching: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let table = format!("drop{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // After the addresses have been translated, and before anything else.
        let chain = |hook: &str| {
            format!("chain {hook} {{ type filter hook {hook} priority 10; policy accept; {matching} counter drop; }};")
        };
        let rules = format!("table inet {table} {{ {} {} {} }}", chain("forward"), chain("output"), chain("input"));
        nft(&node, &rules);
        Self { node, table }
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        nft(&self.node, &format!("delete table inet {}", self.table));
    }
}

fn nft(node: &SharedNode, rules: &str) {
    let mut command = Command::new("nft");
    command.arg(rules);
    let output = node.output(command, node.place()).unwrap();
    assert!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr));
}
