//! A small HTTP server with a graceful shutdown.

use std::{convert::Infallible, env};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub(crate) struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

pub(crate) fn start(listener: TcpListener) -> Server {
    let (stop, stopped) = oneshot::channel();
    Server { stop, task: tokio::spawn(serve(listener, stopped)) }
}

impl Server {
    /// Stops listening, and returns once all requests in flight are answered.
    pub(crate) async fn stop(self) {
        // Both fail only if the task has ended already.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let connections = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(connections.watch(connection));
            }
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let name = env::var("POD_NAME").unwrap_or_else(|_| "a pod".to_owned());
    Ok(Response::new(Full::from(format!("{} from {name}", request.uri().path()))))
}
