//! Real Service addresses: a network namespace in which the Service range is local, and clients connect to
//! 10.96.0.10:80.

use std::{
    env,
    process::{Command, Output},
};

use discovery_proxy::{forward::Forwarder, object::Protocol};
use tests::within;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

use crate::{pods::*, world::*};

/// Runs [`inside`] in a network namespace, in another process of this program.
///
/// Skipped where the user may not create namespaces; with `DISCOVERY_TESTBED=required` that is a failure.
#[test]
fn listens_at_the_addresses_of_services() {
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
    let output = [inside.stdout, inside.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(inside.status.success() && output.contains("1 passed"), "{output}");
}

/// Ignored by default, because the machine does not have these addresses.
#[tokio::test]
#[ignore = "run by the test above, in a namespace"]
async fn inside() {
    for mode in all_modes() {
        for workers in [0, 2] {
            let (_tcp, tcp) = echo_pods(2).await;
            let world =
                ForwardWorld::with(mode.clone(), Forwarder::builder().workers(workers)).serving(&service(), &tcp);
            assert_eq!(world.tcp(), VIP.parse().unwrap());
            let (mut stream, pod) = visit(VIP.parse().unwrap()).await.unwrap();
            assert!(tcp.contains(&pod));
            stream.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
            let drained = world.forwarder.shutdown(std::time::Duration::ZERO).await;
            assert_eq!(drained.connections_cut, 1);

            let (_udp, udp) = udp_pods(2).await;
            let world =
                ForwardWorld::with(mode.clone(), Forwarder::builder().workers(workers)).serving(&service(), &udp);
            assert_eq!(world.local(Protocol::Udp), VIP.parse().unwrap());
            let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            client.send_to(b"ping", VIP).await.unwrap();
            let mut answer = [0; 64];
            let (n, from) = within("an answer", client.recv_from(&mut answer)).await.unwrap();
            assert_eq!(from, VIP.parse().unwrap(), "the answer comes from the Service's address");
            assert!(answer[..n].ends_with(b" ping"));
        }
    }
    // No Service has this port, and the kernel refuses.
    assert!(is_refused("10.96.0.10:81".parse().unwrap()).await);
}
