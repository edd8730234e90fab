//! As little HTTP as the bodies need: a server on loopback that answers each request by its path.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Returns the body for a path with its query; `None` for a response that never ends.
pub(crate) type Answer = dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// A server whose answers depend on the input that is being checked.
#[derive(Clone)]
pub(crate) struct Server {
    addr: SocketAddr,
    input: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub(crate) async fn start(answer: &'static Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a TCP socket on loopback");
        let addr = listener.local_addr().expect("the socket's address");
        let server = Self { addr, input: Arc::default() };
        let input = server.input.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, input.clone()));
            }
        });
        server
    }

    pub(crate) fn set_input(&self, input: &[u8]) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = input.to_vec();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// Serves a connection until its end; `None` at the end.
async fn serve(mut stream: TcpStream, answer: &'static Answer, input: Arc<Mutex<Vec<u8>>>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let path = head.split(' ').nth(1)?;
        let body = answer(path, &input.lock().unwrap_or_else(PoisonError::into_inner));
        let framing = match &body {
            Some(body) => format!("content-length: {}", body.len()),
            None => "transfer-encoding: chunked".to_owned(),
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framing}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body.as_deref().unwrap_or_default()].concat()).await.ok()?;
        if body.is_none() {
            // Until the client closes the connection.
            stream.read_u8().await.ok()?;
        }
    }
}
