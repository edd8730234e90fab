//! Many targets whose nameserver is silent. A program of its own, because the limit and the descriptors that the test
//! counts belong to the process.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeSet, VecDeque},
    fs, io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use discovery_core::{Environment, Resolver, Upstream, context::Families};
use rlimit::Resource;
use tests::{figure, within_load};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const LIMIT: u64 = 1024;

const TARGETS: usize = 1000;

/// Connections that the application makes, and how many of them it keeps open; each has two ends in this process.
const CONNECTS: usize = 2000;
const OPEN: usize = 350;

/// The share of the limit that DNS may use.
const SHARE: usize = LIMIT as usize / 8;

/// The sockets of this process: the inode of each.
fn own_sockets() -> BTreeSet<String> {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let inode = |link: std::path::PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    links.filter_map(inode).collect()
}

/// The sockets of this process in `/proc/net/<table>` whose columns satisfy `wanted`: local and remote address, in
/// hexadecimal digits.
fn sockets(table: &str, wanted: impl Fn(&str, &str) -> bool) -> usize {
    let own = own_sockets();
    let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let matches = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        own.contains(columns[9]) && wanted(columns[1], columns[2])
    };
    table.lines().skip(1).filter(matches).count()
}

/// The sockets that are open for queries to `server`, whose own socket is not among them.
fn dns_sockets(server: SocketAddr) -> usize {
    let port = format!(":{:04X}", server.port());
    sockets("udp", |local, _| !local.ends_with(&port)) + sockets("tcp", |_, remote| remote.ends_with(&port))
}

fn resolver(nameserver: SocketAddr, transport: &str) -> Resolver {
    let vars = [("POD_NAMESPACE", "shop"), ("DISCOVERY_DNS_TRANSPORT", transport)];
    let environment = Environment::empty()
        .with_env(vars)
        .with_resolv_conf("search shop.svc.cluster.local svc.cluster.local cluster.local\n");
    let builder = Resolver::builder().environment(environment).nameservers([nameserver]);
    builder.families(Families::V4).build().unwrap()
}

/// Opens connections, one after another, and keeps the last of them. Returns how many failed, and the largest number of
/// DNS sockets seen meanwhile.
async fn connect_while_counting(nameserver: SocketAddr) -> (usize, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (mut open, mut failed, mut most) = (VecDeque::new(), 0, 0);
    let began = Instant::now();
    let mut made = 0;
    // Long enough for several timeouts of the nameserver, whatever the machine does meanwhile.
    while made < CONNECTS || began.elapsed() < Duration::from_secs(4) {
        match connect(&listener, addr).await {
            Ok(pair) => open.push_back(pair),
            Err(_) => failed += 1,
        }
        if open.len() > OPEN {
            open.pop_front();
        }
        made += 1;
        if made % 50 == 0 {
            most = most.max(dns_sockets(nameserver));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    figure("connects", made);
    (failed, most)
}

async fn connect(listener: &TcpListener, addr: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    Ok((client?, server?.0))
}

async fn leaves_the_descriptors_to_the_application(nameserver: SocketAddr, transport: &str) {
    let resolver = resolver(nameserver, transport);
    let targets: Vec<Upstream> =
        (0..TARGETS).map(|n| resolver.upstream(format!("service-{n}.shop:80").as_str()).unwrap()).collect();
    let (failed, most) = connect_while_counting(nameserver).await;
    figure(&format!("{transport}: failed connects"), failed);
    figure(&format!("{transport}: DNS sockets at most"), most);
    assert_eq!(failed, 0, "connects of the application failed");
    assert!(most > 0 && most <= SHARE, "{most} DNS sockets, with a share of {SHARE}");

    // Every target gets an answer: an error that says what to do.
    let error = within_load("an answer", targets[TARGETS - 1].first_answer()).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(error.to_string().contains(&nameserver.to_string()), "{error}");
}

/// F18. One after the other, because both count the sockets of the process.
#[tokio::test]
async fn a_silent_nameserver_takes_at_most_its_share_of_the_descriptors() {
    let (soft, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(LIMIT.min(hard), hard).unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    leaves_the_descriptors_to_the_application(silent.local_addr().unwrap(), "udp").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    leaves_the_descriptors_to_the_application(silent.local_addr().unwrap(), "tcp").await;
    Resource::NOFILE.set(soft, hard).unwrap();
}
