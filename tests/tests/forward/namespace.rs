//! The real thing: a network namespace in which the range of Services is local, and clients that dial 10.96.0.10:80.

use std::{
    env,
    process::{Command, Output},
};

use discovery_proxy::{forward::Forwarder, object::Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

use crate::{pods::*, world::*};

/// Runs [`inside`] in a namespace of its own, with another process of this program.
///
/// Skipped where one may not make a namespace; `DISCOVERY_TESTBED=required` makes that a failure.
#[test]
fn services_are_bound_at_their_own_addresses() {
    let prepare = "ip link set lo up && ip route add local 10.96.0.0/12 dev lo && exec \"$@\"";
    let unshare = |program: &[&str]| -> Output {
        let namespace = ["--user", "--map-root-user", "--net", "sh", "-c", prepare, "sh"];
        Command::new("unshare").args(namespace).args(program).output().unwrap()
    };
    let possible = unshare(&["true"]);
    if !possible.status.success() {
        let why = String::from_utf8_lossy(&possible.stderr).into_owned();
        assert!(env::var("DISCOVERY_TESTBED").as_deref() != Ok("required"), "no namespace: {why}");
        eprintln!("skipped, no namespace: {why}");
        return;
    }
    let program = env::current_exe().unwrap();
    let inside = unshare(&[program.to_str().unwrap(), "--exact", "namespace::inside", "--ignored", "--nocapture"]);
    let said = [inside.stdout, inside.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

/// Not by itself: the machine has no such addresses.
#[tokio::test]
#[ignore = "run by the test above, in a namespace"]
async fn inside() {
    for mode in all_modes() {
        for workers in [0, 2] {
            let (_tcp, tcp) = echo_pods(2).await;
            let world = World::with(mode.clone(), Forwarder::builder().workers(workers)).serving(&service(), &tcp);
            assert_eq!(world.tcp(), VIP.parse().unwrap());
            let (mut stream, pod) = visit(VIP.parse().unwrap()).await.unwrap();
            assert!(tcp.contains(&pod));
            stream.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
            let drained = world.forwarder.shutdown(std::time::Duration::ZERO).await;
            assert_eq!(drained.connections_cut, 1);

            let (_udp, udp) = udp_pods(2).await;
            let world = World::with(mode.clone(), Forwarder::builder().workers(workers)).serving(&service(), &udp);
            assert_eq!(world.local(Protocol::Udp), VIP.parse().unwrap());
            let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            client.send_to(b"ping", VIP).await.unwrap();
            let mut answer = [0; 64];
            let (n, from) = within("an answer", client.recv_from(&mut answer)).await.unwrap();
            assert_eq!(from, VIP.parse().unwrap(), "it comes from where it was asked");
            assert!(answer[..n].ends_with(b" ping"));
        }
    }
    // Nobody has this port, and the kernel says so.
    assert!(is_refused("10.96.0.10:81".parse().unwrap()).await);
}
