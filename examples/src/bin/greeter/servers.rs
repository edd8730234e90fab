//! The pods of the greeter.

use std::{net::SocketAddr, pin::Pin, sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::{
    BoxError,
    pb::{
        HelloReply, HelloRequest,
        greeter_server::{Greeter, GreeterServer},
    },
};

/// A pod that greets, or answers every call UNAVAILABLE.
pub(crate) struct Pod {
    addr: SocketAddr,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Pod {
    pub(crate) async fn start(name: &str, fails: bool, identity: Option<&Identity>) -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let calls = Arc::new(AtomicUsize::new(0));
        let greeter = PodGreeter { name: name.to_owned(), fails, calls: calls.clone() };
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity.clone()))?;
        }
        let serving = server.add_service(GreeterServer::new(greeter));
        let serving = serving.serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                eprintln!("a pod ended: {error}");
            }
        });
        Ok(Self { addr, calls, task })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// Refuses connections. Those that are open are served.
    pub(crate) async fn close(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct PodGreeter {
    name: String,
    fails: bool,
    calls: Arc<AtomicUsize>,
}

impl PodGreeter {
    fn reply(&self, request: &HelloRequest) -> Result<HelloReply, Status> {
        self.calls.fetch_add(1, Relaxed);
        if self.fails {
            return Err(Status::unavailable("the database is down"));
        }
        Ok(HelloReply { message: format!("Hello {}", request.name), pod: self.name.clone() })
    }
}

#[tonic::async_trait]
impl Greeter for PodGreeter {
    type SayHellosStream = Pin<Box<dyn Stream<Item = Result<HelloReply, Status>> + Send>>;

    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        self.reply(request.get_ref()).map(Response::new)
    }

    async fn say_hellos(&self, request: Request<HelloRequest>) -> Result<Response<Self::SayHellosStream>, Status> {
        let reply = self.reply(request.get_ref())?;
        let times = 0..request.get_ref().times;
        Ok(Response::new(Box::pin(tokio_stream::iter(times).map(move |_| Ok(reply.clone())))))
    }
}
