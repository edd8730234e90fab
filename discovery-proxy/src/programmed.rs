//! One port of a Service with its endpoints: what changes are told by.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Config, Connection, EndpointInfo, Flow, ServicePortInfo, ServicePortName, UsableEndpoints, mode::Cell,
    node_address::NodeAddresses,
};

/// One port of a Service with its endpoints.
#[derive(Debug)]
pub(super) struct Programmed {
    pub(super) name: ServicePortName,
    pub(super) info: ServicePortInfo,
    /// All endpoints, usable or not, in order.
    pub(super) endpoints: Box<[EndpointInfo]>,
    pub(super) usable: UsableEndpoints,
    pub(super) cell: Arc<Cell>,
}

/// The settings and the node, for every decision.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) config: Config,
    pub(super) addresses: NodeAddresses,
}

impl Programmed {
    pub(super) const fn name(&self) -> &ServicePortName {
        &self.name
    }

    pub(super) const fn usable(&self) -> &UsableEndpoints {
        &self.usable
    }

    pub(super) fn open(&self, flow: &Flow<'_>, endpoint: SocketAddr) -> Option<Connection> {
        Connection::open(&self.cell, flow.destination, endpoint, flow.source)
    }
}
