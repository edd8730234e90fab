//! The listener of a pod and its connections.

use std::{pin::pin, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{answer::Application, counters::OpenConnection};

/// After a failed accept (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(20);

/// A listener at work, or one that has ended. Dropping it closes everything at once.
#[derive(Debug)]
pub(super) struct Running {
    task: AbortHandle,
    /// A change asks connections that were open before it to finish.
    drain: watch::Sender<u8>,
    /// Loses its sender when the listener is closed.
    ended: watch::Receiver<()>,
}

impl Running {
    pub(super) fn new(listener: TcpListener, application: Application) -> Self {
        let drain = watch::Sender::new(0);
        let (alive, ended) = watch::channel(());
        let listening = listen(listener, application, drain.clone(), drain.subscribe());
        let task = tokio::spawn(async move {
            // Dropped after the listener, also when the task is aborted.
            let _alive = alive;
            listening.await;
        });
        Self { task: task.abort_handle(), drain, ended }
    }

    /// Closes everything, also in the middle of a stop. Resolves when the listener is closed.
    pub(super) async fn kill(&self) {
        self.task.abort();
        self.ended().await;
    }

    /// Finishes the requests in flight, then closes; whatever is left after `grace` is cut.
    pub(super) async fn stop(&self, grace: Duration) {
        self.drain.send_modify(|stage| *stage += 1);
        if timeout(grace, self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    async fn ended(&self) {
        // Nothing is ever sent: this is an error, and that is the end.
        let _ = self.ended.clone().changed().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    listener: TcpListener,
    application: Application,
    drain: watch::Sender<u8>,
    mut draining: watch::Receiver<u8>,
) {
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &application, &drain, &mut connections) => {}
        _ = draining.changed() => {}
    }
    // Connections from before finish while newcomers are still welcome: a Service may send some for a while.
    let mut late = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &application, &drain, &mut late) => {}
        () = finish(&mut connections) => {}
    }
    drop(listener);
    drain.send_modify(|stage| *stage += 1);
    finish(&mut late).await;
}

/// Never ends.
async fn accept(
    listener: &TcpListener,
    application: &Application,
    drain: &watch::Sender<u8>,
    connections: &mut JoinSet<()>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let draining = drain.subscribe();
                connections.spawn(connection(stream, application.clone(), draining));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn finish(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// HTTP/1.1, or HTTP/2 if the client starts with its preface.
async fn connection(stream: TcpStream, application: Application, mut draining: watch::Receiver<u8>) {
    let _open = OpenConnection::new(application.counters.clone());
    // Small answers leave at once; failing to say so costs latency only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| application.clone().answer(request));
    let server = auto::Builder::new(TokioExecutor::new());
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // An error is the client's going away, which a server lives with.
        _ = serving.as_mut() => return,
        _ = draining.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
