//! Accepts connections at one address and sends each on its way.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use super::{Connected, connect, pump::Pump};
use crate::forward::clock;
use crate::{
    Flow,
    forward::{
        live::{Live, Path, Ticket},
        shared::Shared,
        way::{Way, way},
    },
};
use discovery_core::ThreadRng;

/// Without descriptors or memory, accepting again at once would fail again at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Accepts until it is aborted. When there are as many connections as may be, the next ones wait in the kernel's queue.
pub(in crate::forward) async fn serve(
    listener: Arc<TcpListener>,
    destination: SocketAddr,
    shared: Arc<Shared>,
    live: Arc<Live>,
) {
    loop {
        let (client, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The client has gone before it was accepted: accept(2).
            Err(error) if is_of_client(&error) => continue,
            Err(_) => {
                shared.stats.accept_errors.add();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(permit) = live.room().await else { return };
        shared.stats.accepted.add();
        let shared = shared.clone();
        live.spawn(permit, move |ticket| carry(client, source, destination, shared, ticket));
    }
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

async fn carry(client: TcpStream, source: SocketAddr, destination: SocketAddr, shared: Arc<Shared>, ticket: Ticket) {
    let flow = Flow::tcp(source, destination);
    let way = way(&shared.published.load(), &flow, clock::now(), &mut ThreadRng::new());
    let is_userspace = matches!(way, Way::Attempts(_));
    match way {
        Way::Silence => {
            shared.stats.dropped.add();
            // It has been accepted, as the kernel does that; nobody will talk to it.
            tokio::time::sleep(shared.settings.drop_timeout).await;
            return reset(&client);
        }
        // No Service has the address any more: as if nobody had listened.
        Way::Refuse | Way::Untouched => {
            shared.stats.refused.add();
            return reset(&client);
        }
        Way::Attempts(_) | Way::Once(..) => {}
    }
    // Dialling needs more room than carrying, and is over soon: 10 000 idle connections do not keep that room.
    match Box::pin(connect(way, destination, shared.settings.connect_timeout)).await {
        Ok(Connected { stream, endpoint, counted }) => {
            if shared.settings.drain.is_some() {
                ticket.leads(Path { destination, endpoint });
            }
            // A connection that breaks has been told to both sides; nobody else waits for it.
            let _ = Pump::new(client, stream, counted, shared.settings.splice).await;
        }
        Err(error) => {
            let count = if error.is_refused() { &shared.stats.refused } else { &shared.stats.unreachable };
            count.add();
            // kube-proxy in userspace mode closes the connection; in the other modes the pod, or the kernel in its
            // place, refuses it.
            if !is_userspace {
                reset(&client);
            }
        }
    }
}

/// Closes with a reset, which is as near to "connection refused" as an accepted connection gets.
fn reset(client: &TcpStream) {
    // Where that cannot be had, closing has to do.
    let _ = client.set_zero_linger();
}
