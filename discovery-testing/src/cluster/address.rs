//! Loopback addresses for pods: each pod has its own address, and all pods of a Service have the same port unless a test wants
//! otherwise.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::pod::{FakePod, Handler};

/// How many addresses are tried.
const ATTEMPTS: usize = 64;

/// Starts a pod on an address where this port is free. Port 0 is any free port.
pub(super) async fn start_pod(name: &str, port: u16, handler: Option<&Handler>) -> io::Result<FakePod> {
    let mut attempt = 1;
    loop {
        let addr = SocketAddr::from((candidate(), port));
        match FakePod::bind(name, addr, handler.cloned()).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
            }
            started => return started,
        }
    }
}

/// Starts a pod on any free port but this one.
pub(super) async fn start_pod_beside(port: u16, name: &str, handler: Option<&Handler>) -> io::Result<FakePod> {
    loop {
        let pod = start_pod(name, 0, handler).await?;
        if pod.addr().port() != port {
            return Ok(pod);
        }
    }
}

/// Returns an address from 127.1.0.0 to 127.254.255.254. It is random, so that concurrent test processes rarely
/// collide; binding it decides.
fn candidate() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [a, b, c, d, ..] = RandomState::new().hash_one(number).to_be_bytes();
    let within = |octet: u8| 1 + octet % 254;
    Ipv4Addr::new(127, within(a), b ^ d, within(c))
}
