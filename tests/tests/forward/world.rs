//! A proxy with its forwarder, and short ways to write objects.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{
    Changes, Config, IptablesConfig, IpvsConfig, Mode, Proxier, Scheduler,
    forward::{Forwarder, ForwarderBuilder, Stats},
    object::*,
};
use tests::within;

pub(crate) const VIP: &str = "10.96.0.10:80";

pub(crate) struct ForwardWorld {
    pub(crate) proxy: Proxier,
    pub(crate) forwarder: Forwarder,
    rng: SplitMix64,
}

pub(crate) fn all_modes() -> [Mode; 4] {
    [
        Mode::Userspace,
        Mode::Iptables(IptablesConfig::default()),
        Mode::Ipvs(IpvsConfig::default().with_scheduler(Scheduler::RoundRobin)),
        Mode::Nftables,
    ]
}

/// A forwarder that listens at a free port of loopback for each address.
pub(crate) fn builder() -> ForwarderBuilder {
    Forwarder::builder().listen_at(|_, _| Some(SocketAddr::from(([127, 0, 0, 1], 0))))
}

impl ForwardWorld {
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(mode, builder())
    }

    pub(crate) fn with(mode: Mode, builder: ForwarderBuilder) -> Self {
        let proxy = Proxier::new(Config::new(IpFamily::V4, mode).with_node_name("here"));
        let forwarder = builder.start(proxy.snapshot().clone()).unwrap();
        Self { proxy, forwarder, rng: SplitMix64::with_seed(3) }
    }

    /// Applies the Service, with these pods.
    pub(crate) fn serving(mut self, service: &Service, pods: &[SocketAddr]) -> Self {
        self.proxy.apply_service(service);
        self.pods(pods);
        self
    }

    /// Replaces the pods of the Service.
    pub(crate) fn pods(&mut self, pods: &[SocketAddr]) -> Changes {
        self.slice(pods.iter().map(|pod| endpoint(*pod)).collect(), pods.first().map_or(1, SocketAddr::port))
    }

    pub(crate) fn slice(&mut self, endpoints: Vec<SliceEndpoint>, port: u16) -> Changes {
        self.proxy.apply_endpoint_slice(&EndpointSlice {
            namespace: "shop".into(),
            name: "orders-1".into(),
            labels: [(SERVICE_NAME_LABEL.into(), "orders".into())].into(),
            ports: [Protocol::Tcp, Protocol::Udp]
                .map(|protocol| SlicePort { name: Some(protocol.to_string()), protocol, port: Some(port.into()) })
                .into(),
            endpoints,
            ..EndpointSlice::default()
        });
        self.publish()
    }

    pub(crate) fn publish(&mut self) -> Changes {
        let changes = self.proxy.sync(Instant::now(), &mut self.rng);
        let failed = self.forwarder.publish(&changes);
        assert!(failed.is_empty(), "{failed:?}");
        changes
    }

    /// The address that the forwarder listens at for the Service.
    pub(crate) fn local(&self, protocol: Protocol) -> SocketAddr {
        self.forwarder.local_addr(protocol, VIP.parse().unwrap()).expect("a listener")
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        self.local(Protocol::Tcp)
    }

    /// Waits until the forwarder's counters satisfy `wanted`.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Stats) -> bool) {
        until(what, || wanted(&self.forwarder.stats())).await;
    }
}

/// Polls for a state that no event announces.
pub(crate) async fn until(what: &str, wanted: impl Fn() -> bool) {
    within(what, async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// `shop/orders` at [`VIP`], TCP and UDP.
pub(crate) fn service() -> Service {
    let port =
        |protocol: Protocol| ServicePort { name: protocol.to_string(), protocol, port: 80, ..ServicePort::default() };
    Service {
        namespace: "shop".into(),
        name: "orders".into(),
        cluster_ip: "10.96.0.10".into(),
        cluster_ips: vec!["10.96.0.10".into()],
        ports: [Protocol::Tcp, Protocol::Udp].map(port).into(),
        ..Service::default()
    }
}

pub(crate) fn sticky() -> Service {
    Service { session_affinity: Affinity::ClientIp, ..service() }
}

/// An endpoint on another node.
pub(crate) fn endpoint(pod: SocketAddr) -> SliceEndpoint {
    SliceEndpoint { addresses: vec![pod.ip().to_string()], node_name: Some("there".into()), ..Default::default() }
}

/// Whether connections to this address are refused.
pub(crate) async fn is_refused(at: SocketAddr) -> bool {
    let connected = tokio::net::TcpStream::connect(at).await;
    connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}
