//! Our forwarder as a process.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{Config, Mode, Proxier, forward::Forwarder, object::*};

use crate::pods;

/// Forwards two ports of a Service, with listeners on loopback.
pub fn run(port: u16, pods: u16, workers: usize) {
    let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Userspace));
    let names = ["echo", "bulk"];
    proxy.apply_service(&Service {
        namespace: "bench".into(),
        name: "pods".into(),
        cluster_ip: "10.96.0.10".into(),
        ports: [(names[0], 80), (names[1], 81)]
            .map(|(name, port)| ServicePort { name: name.into(), port, ..ServicePort::default() })
            .into(),
        ..Service::default()
    });
    let endpoint =
        |ip: &[u8; 4]| SliceEndpoint { addresses: vec![Ipv4Addr::from(*ip).to_string()], ..SliceEndpoint::default() };
    proxy.apply_endpoint_slice(&EndpointSlice {
        namespace: "bench".into(),
        name: "pods-1".into(),
        labels: [(SERVICE_NAME_LABEL.into(), "pods".into())].into(),
        ports: [(names[0], pods), (names[1], pods + 1)]
            .map(|(name, port)| SlicePort { name: Some(name.into()), port: Some(port.into()), ..SlicePort::default() })
            .into(),
        endpoints: pods::ADDRESSES.iter().map(endpoint).collect(),
        ..EndpointSlice::default()
    });
    let local = move |_, to: SocketAddr| Some(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port + to.port() - 80));
    let builder = Forwarder::builder().workers(workers).listen_at(local);
    let forwarder = builder.start(proxy.snapshot().clone()).expect("a forwarder");
    let changes = proxy.sync(Instant::now(), &mut SplitMix64::with_seed(1));
    let failed = forwarder.publish(&changes);
    assert!(failed.is_empty(), "{failed:?}");
    // Run until the parent process closes the pipe.
    std::io::stdin().read_to_string(&mut String::new()).ok();
}
