//! The program in the pods of the cluster tests: a small HTTP server, or a process that only waits.
//!
//! ```text
//! test-pod serve [--port 8080] [--delay-ms N] [--status N] [--drain-ms N | --on-sigterm exit]
//! test-pod hold
//! ```
//!
//! Each answer is one line: the pod's name, its address and the address of the client. `/ready` answers 200. After
//! SIGTERM the server accepts requests for another `--drain-ms`, like an application that gives its clients time to
//! notice; then it finishes the open requests. With `--on-sigterm exit` it exits at once instead, like an application
//! that does not handle the signal.

use std::{
    convert::Infallible,
    error::Error,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[derive(Clone, Debug)]
struct Options {
    port: u16,
    delay: Duration,
    status: StatusCode,
    drain: Duration,
    exits_at_once: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut terminated = signal(SignalKind::terminate())?;
    match words.first().map(String::as_str) {
        Some("serve") => serve(Options::read(&words[1..])?, &mut terminated).await,
        Some("hold") => {
            terminated.recv().await;
            Ok(())
        }
        _ => Err("test-pod serve|hold".into()),
    }
}

impl Options {
    fn read(words: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            port: 8080,
            delay: Duration::ZERO,
            status: StatusCode::OK,
            drain: Duration::ZERO,
            exits_at_once: false,
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} has no value", pair[0]).into()) };
            let millis = || value.parse().map(Duration::from_millis);
            match name.as_str() {
                "--port" => options.port = value.parse()?,
                "--delay-ms" => options.delay = millis()?,
                "--status" => options.status = value.parse()?,
                "--drain-ms" => options.drain = millis()?,
                "--on-sigterm" => options.exits_at_once = value == "exit",
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(options)
    }
}

async fn serve(options: Options, terminated: &mut tokio::signal::unix::Signal) -> Result<(), Box<dyn Error>> {
    // Both IP families, where the machine has both.
    let listener = match TcpListener::bind(("::", options.port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(("0.0.0.0", options.port)).await?,
    };
    let http = Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut drained = pin!(async {
        terminated.recv().await;
        if options.exits_at_once {
            std::process::exit(0);
        }
        tokio::time::sleep(options.drain).await;
    });
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // The client left before its connection was accepted.
                let Ok((stream, peer)) = accepted else { continue };
                stream.set_nodelay(true).ok();
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let own = stream.local_addr().map_or(peer.ip(), |own| own.ip().to_canonical());
                let options = options.clone();
                let service = service_fn(move |request| answer(request, options.clone(), own, peer));
                let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
                let watched = connections.watch(connection);
                tokio::spawn(async move {
                    // It does not matter how a client leaves.
                    watched.await.ok();
                });
            }
            () = &mut drained => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    options: Options,
    own: IpAddr,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/ready" {
        return Ok(Response::new(Full::new(Bytes::from_static(b"ready\n"))));
    }
    tokio::time::sleep(options.delay).await;
    let name = std::env::var("HOSTNAME").unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(format!("{name} {own} {peer}\n"))));
    *response.status_mut() = options.status;
    Ok(response)
}
