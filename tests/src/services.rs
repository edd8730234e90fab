//! The Service that most tests ask for: headless, `orders` in namespace `shop`, port `http` 8080.

use std::net::Ipv4Addr;

use discovery_testing::{Pod, Service};

/// The absolute DNS name of `orders`, without the final dot.
pub const ORDERS: &str = "orders.shop.svc.cluster.local";

/// `orders` with a pod at each of these addresses.
pub fn orders(ips: &[&str]) -> Service {
    with_pods(ips.iter().map(|ip| Pod::new(*ip)))
}

/// `orders` with this many pods: 10.0.0.1, 10.0.0.2 and so on.
pub fn many_orders(pods: u16) -> Service {
    with_pods((1..=pods).map(|pod| {
        let [high, low] = pod.to_be_bytes();
        Pod::new(Ipv4Addr::new(10, 0, high, low))
    }))
}

fn with_pods(pods: impl IntoIterator<Item = Pod>) -> Service {
    pods.into_iter().fold(Service::headless("shop", "orders").port("http", 8080), Service::pod)
}
