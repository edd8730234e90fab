//! Any data in pieces of any size, and either side may end first: the data arrives, and then the end.

use discovery_core::policy::{Rng, SplitMix64};

use discovery_proxy::Mode;
use tests::within;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{pods::*, world::*};

/// The byte that a sender sends at a position.
fn byte(sender: u64, at: usize) -> u8 {
    ((at as u64 ^ sender).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// A random length below `1 << bits`, small as often as large.
fn any_len(rng: &mut SplitMix64, bits: usize) -> usize {
    let bits = rng.below(bits + 1);
    rng.below(1 << bits)
}

/// Sends `len` bytes in pieces of any size, and yields to other tasks in between.
async fn send(mut to: impl AsyncWrite + Unpin, sender: u64, len: usize, mut rng: SplitMix64) {
    let mut sent = 0;
    while sent < len {
        let n = any_len(&mut rng, 20).clamp(1, len - sent);
        let piece: Vec<u8> = (sent..sent + n).map(|at| byte(sender, at)).collect();
        to.write_all(&piece).await.unwrap();
        sent += n;
        for _ in 0..rng.below(3) {
            tokio::task::yield_now().await;
        }
    }
    to.shutdown().await.unwrap();
}

/// Receives everything up to the end, in reads of any size.
async fn receive(mut from: impl AsyncRead + Unpin, sender: u64, mut rng: SplitMix64) -> usize {
    let mut received = 0;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let size = 1 + rng.below(buffer.len());
        let n = from.read(&mut buffer[..size]).await.unwrap();
        if n == 0 {
            return received;
        }
        assert!((0..n).all(|at| buffer[at] == byte(sender, received + at)), "from {sender}, after {received}");
        received += n;
        if rng.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// One side of a connection: sends and receives at once.
async fn talk(stream: TcpStream, own: u64, other: u64, len: usize) -> usize {
    let (read, write) = stream.into_split();
    let receive = receive(read, other, SplitMix64::with_seed(other ^ 1));
    tokio::join!(send(write, own, len, SplitMix64::with_seed(own)), receive).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_and_then_the_end() {
    for (workers, splice) in [(0, true), (2, true), (0, false)] {
        let (listeners, addrs) = listeners(1).await;
        let builder = builder().workers(workers).splice(splice);
        let world = ForwardWorld::with(Mode::Userspace, builder).serving(&service(), &addrs);
        let mut rng = SplitMix64::with_seed(11);
        let mut all = Vec::new();
        for n in 0..24 {
            let client = TcpStream::connect(world.tcp()).await.unwrap();
            let (pod, _) = within("a connection", listeners[0].accept()).await.unwrap();
            // From zero bytes to some MiB.
            let [up, down] = [22, 22].map(|bits| any_len(&mut rng, bits));
            all.push(async move {
                let client = tokio::spawn(talk(client, 2 * n, 2 * n + 1, up));
                let pod = tokio::spawn(talk(pod, 2 * n + 1, 2 * n, down));
                let (at_client, at_pod) = tokio::join!(client, pod);
                assert_eq!((at_pod.unwrap(), at_client.unwrap()), (up, down), "connection {n}");
            });
        }
        within("all connections", futures_util::future::join_all(all)).await;
        world.until("the end of all connections", |stats| stats.connections == 0).await;
    }
}
