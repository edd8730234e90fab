//! TCP: accepts connections, decides and dials each, and carries its data.

mod idle;
#[cfg(not(target_os = "linux"))]
#[path = "no_pipe.rs"]
mod pipe;
#[cfg(target_os = "linux")]
mod pipe;
mod pump;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use self::{idle::UntilIdle, pump::Pump};
use super::{
    Shared, clock,
    dial::{Decision, connect, decide_connection},
    shares::{Refusal, Share},
    stats::Event,
    worker::{ConnectionGuard, Connections},
};
use crate::Flow;
use discovery_core::ThreadRng;

/// The pause after descriptors or memory ran out: accepting again at once would fail again at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Accepts connections until the task is aborted. At the connection limit, further ones wait in the kernel's queue.
pub(super) async fn serve(
    listener: Arc<TcpListener>,
    destination: SocketAddr,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
) {
    loop {
        let (client, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The client went away before it was accepted: accept(2).
            Err(error) if is_client_error(&error) => continue,
            Err(_) => {
                shared.counters.add(Event::AcceptError, 1);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(permit) = connections.permit().await else { return };
        let Some(share) = share(&shared, source, destination).await else {
            shared.counters.add(Event::Limited, 1);
            reset(&client);
            continue;
        };
        shared.counters.add(Event::Accepted, 1);
        let shared = shared.clone();
        connections.spawn(permit, share, move |guard| carry(client, Flow::tcp(source, destination), shared, guard));
    }
}

/// The place of a connection; `None` if its source address has its share. Waits while the rest is for other Services.
async fn share(shared: &Arc<Shared>, source: SocketAddr, destination: SocketAddr) -> Option<Share> {
    loop {
        match shared.connection_shares.take(source.ip(), destination) {
            Ok(share) => return Some(share),
            Err(Refusal::Source) => return None,
            Err(Refusal::Full) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn is_client_error(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

async fn carry(client: TcpStream, flow: Flow<'static>, shared: Arc<Shared>, guard: ConnectionGuard) {
    let decision = decide_connection(&shared.handle.load(), &flow, clock::now(), &mut ThreadRng::new());
    // After a connect error, kube-proxy in userspace mode closes the connection. In the other modes the pod, or the kernel
    // in its place, refuses it.
    let is_userspace = matches!(decision, Decision::Attempts(_));
    match decision {
        Decision::Drop => {
            shared.counters.add(Event::Dropped, 1);
            // The kernel has accepted the connection already, so keep it without an answer.
            tokio::time::sleep(shared.settings.drop_timeout).await;
            return reset(&client);
        }
        // No Service has the address any more: act as if nothing were listening.
        Decision::Reject | Decision::Untouched => {
            shared.counters.add(Event::Refused, 1);
            return reset(&client);
        }
        Decision::Attempts(_) | Decision::Endpoint(..) => {}
    }
    // Dialing needs more memory than carrying and is over soon. The box keeps that memory out of idle connections.
    match Box::pin(connect(decision, flow.destination, shared.settings.connect_timeout)).await {
        Ok(dialed) => {
            if shared.settings.drain_removed_after.is_some() {
                guard.set_path(flow.destination, dialed.endpoint());
            }
            let (server, counted) = dialed.into_parts();
            let pump = Pump::new(client, server, counted, shared.settings.splice);
            if UntilIdle::new(pump, shared.settings.tcp_idle_timeout).await {
                shared.counters.add(Event::Idle, 1);
            }
        }
        Err(error) => {
            shared.counters.add(if error.is_refused() { Event::Refused } else { Event::Unreachable }, 1);
            if !is_userspace {
                reset(&client);
            }
        }
    }
}

/// Makes closing the connection reset it, the closest that an accepted connection gets to "connection refused".
fn reset(client: &TcpStream) {
    // If the option cannot be set, the connection is closed normally.
    let _ = client.set_zero_linger();
}
