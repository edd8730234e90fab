//! A server that switches protocols, as for WebSockets, and its client. The new protocol returns what was sent.

use std::net::SocketAddr;

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Starts the server, for one connection.
pub(crate) async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await?;
        let (mut read, mut write) = stream.split();
        io::copy(&mut read, &mut write).await
    });
    Ok(addr)
}

/// Switches protocols through the gateway, and returns what comes back.
pub(crate) async fn ping(gateway: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(gateway).await?;
    let request = b"GET /echo/room HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request).await?;
    let head = read_head(&mut stream).await?;
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(io::Error::other(head));
    }
    stream.write_all(b"ping").await?;
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).await?;
    Ok(String::from_utf8_lossy(&echoed).into_owned())
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
