//! What the registry is told about this pod.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    Instance, Status,
    model::{Body, Urls},
};

/// Everything in a record but its status and the time of its last change.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: String,
    /// Upper case.
    pub(super) app: String,
    pub(super) host_name: String,
    pub(super) ip: IpAddr,
    pub(super) port: Option<u16>,
    pub(super) secure_port: Option<u16>,
    pub(super) vip: String,
    pub(super) secure_vip: String,
    pub(super) urls: Urls,
    pub(super) renewal: Duration,
    pub(super) lease: Duration,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn body(&self, status: Status, dirty: u64) -> Vec<u8> {
        let ip = self.ip.to_string();
        let body = Body {
            id: &self.id,
            host_name: &self.host_name,
            app: &self.app,
            ip_addr: &ip,
            status,
            port: self.port,
            secure_port: self.secure_port,
            renewal_secs: whole_secs(self.renewal),
            duration_secs: whole_secs(self.lease),
            metadata: &self.metadata,
            urls: &self.urls,
            vip: &self.vip,
            secure_vip: &self.secure_vip,
            dirty,
        };
        body.to_json()
    }

    /// Whether what the registry holds leads to this pod. An older record of the same id, written by a pod whose clock was
    /// ahead, stays in a registry although it answers 204 (Netflix #802).
    pub(super) fn is_held_as(&self, held: &Instance) -> bool {
        let port = |port: Option<crate::InstancePort>| port.and_then(crate::InstancePort::in_use);
        held.ip() == Some(self.ip) && port(held.port) == self.port && port(held.secure_port) == self.secure_port
    }
}

/// The wire has whole seconds, and 0 stands for a default there.
fn whole_secs(duration: Duration) -> u64 {
    let secs = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    secs.max(1)
}
