//! Which addresses answer a ping. The example `kube_proxy` prints this, and here is the evidence.

use std::{
    io::{ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, api::ListParams};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    harness::{Options, ProxyMode, on_cluster},
    manifests::{self, Workload},
};

const WEB: Workload<'_> =
    Workload { kind: "Deployment", namespace: "shop", name: "web", replicas: 1, headless: false, options: &[] };

/// The answer to a ping.
#[derive(Debug, PartialEq, Eq)]
enum PingResult {
    Reply,
    /// ICMP type 3, with its code.
    Unreachable(u8),
    NoAnswer,
}

/// Sends an echo request and waits up to a second for an answer. Blocks the thread.
fn ping(to: Ipv4Addr) -> PingResult {
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut echo = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum = !echo.chunks(2).fold(0_u16, |sum, pair| {
        let (sum, carry) = sum.overflowing_add(u16::from_be_bytes([pair[0], pair[1]]));
        sum + u16::from(carry)
    });
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    let start = Instant::now();
    if socket.send_to(&echo, &SocketAddr::new(IpAddr::V4(to), 0).into()).is_err() {
        return PingResult::Unreachable(u8::MAX);
    }
    let mut packet = [0; 576];
    while start.elapsed() < Duration::from_secs(1) {
        match socket.read(&mut packet) {
            // The IP header has no options here.
            Ok(length) if length >= 28 => match (packet[20], packet[21]) {
                (0, _) => return PingResult::Reply,
                (3, code) => return PingResult::Unreachable(code),
                _ => {}
            },
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return PingResult::Unreachable(u8::MAX),
        }
    }
    PingResult::NoAnswer
}

/// No interface has a cluster IP. A ping to it is lost in iptables mode and refused in nftables mode, with or without
/// endpoints. Pods and nodes answer for themselves.
#[test]
fn a_cluster_ip_never_answers_a_ping() {
    for (mode, cluster_ip) in
        [(ProxyMode::Iptables, PingResult::NoAnswer), (ProxyMode::Nftables, PingResult::Unreachable(3))]
    {
        on_cluster(Options::default().proxy(mode), |cluster| async move {
            cluster.apply(&manifests::client("shop")).await;
            cluster.apply(&WEB.manifest()).await;
            cluster.pods_ready("shop", "web", 1).await;
            cluster.pods_ready("shop", "client", 1).await;
            cluster.ready_endpoints("shop", "web", 1).await;
            let services: Api<Service> = Api::namespaced(cluster.client(), "shop");
            let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
            let service = services.get("web").await.unwrap().spec.unwrap().cluster_ip.unwrap();
            let pods = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
            let pod = pods.items[0].status.clone().unwrap().pod_ip.unwrap();
            let [service, pod]: [Ipv4Addr; 2] = [service, pod].map(|ip| ip.parse().unwrap());
            let (service, pod) = cluster
                .in_pod("shop/client", move |_| async move {
                    let works = async || tokio::net::TcpStream::connect((service, 80)).await.is_ok();
                    let start = Instant::now();
                    while !works().await {
                        assert!(
                            start.elapsed() < Duration::from_secs(20),
                            "the Service refuses connections after 20 s"
                        );
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    (ping(service), ping(pod))
                })
                .await;
            assert_eq!((service, pod), (cluster_ip, PingResult::Reply), "{mode:?}");
        });
    }
}
