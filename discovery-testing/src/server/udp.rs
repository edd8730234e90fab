use std::sync::Arc;

use tokio::{net::UdpSocket, task::JoinSet, time::sleep};

use super::{
    PAUSE,
    respond::{Reply, respond},
};
use crate::{dns::Shared, question::Transport};

/// Answers datagrams until dropped.
pub(super) async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut delayed = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        while delayed.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(PAUSE).await;
            continue;
        };
        let Reply { delay, bytes, .. } = respond(&shared, &buffer[..length], Transport::Udp, from);
        let Some(bytes) = bytes else {
            continue;
        };
        if delay.is_zero() {
            // A datagram may be lost: the client asks again.
            let _ = socket.send_to(&bytes, from).await;
        } else {
            let socket = Arc::clone(&socket);
            delayed.spawn(async move {
                sleep(delay).await;
                let _ = socket.send_to(&bytes, from).await;
            });
        }
    }
}
