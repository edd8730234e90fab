//! Loopback addresses for pods: each has one of its own, and all pods of a Service the same port.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::pod::{FakePod, Handler};

/// How many addresses are tried, each time another one.
const ATTEMPTS: usize = 64;

/// Starts a pod on an address that nobody else uses on this port; port 0 is a free one.
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

/// An address within 127.1.0.0 to 127.254.255.254. Random, so that test processes that run side by side
/// keep out of each other's way: it is binding it that decides.
fn candidate() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [a, b, c, d, ..] = RandomState::new().hash_one(number).to_be_bytes();
    let within = |octet: u8| 1 + octet % 254;
    Ipv4Addr::new(127, within(a), b ^ d, within(c))
}
