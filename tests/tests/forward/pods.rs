//! Pods: servers on addresses of loopback, all at one port, as the endpoints of a slice are.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::{AbortHandle, JoinSet},
};

/// Addresses that no other pod of this process has, and none of another process of these tests.
pub(crate) fn addresses(n: usize) -> Vec<IpAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let block = u32::from_be_bytes([127, 64, 0, 0]) + (std::process::id() % 4096) * 1024;
    let next = |_| IpAddr::V4(Ipv4Addr::from_bits(block + 1 + NEXT.fetch_add(1, Ordering::Relaxed)));
    (0..n).map(next).collect()
}

/// Listeners at one port, that the first got from the system.
pub(crate) async fn listeners(n: usize) -> (Vec<TcpListener>, Vec<SocketAddr>) {
    let (mut listeners, mut addrs, mut port) = (Vec::new(), Vec::new(), 0);
    for ip in addresses(n) {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        addrs.push(listener.local_addr().unwrap());
        port = addrs[0].port();
        listeners.push(listener);
    }
    (listeners, addrs)
}

/// A pod that says its address on each connection, then echoes. Dropping it kills it: the listener is closed and
/// connections are cut.
pub(crate) struct Pod(AbortHandle);

impl Drop for Pod {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn echo_pods(n: usize) -> (Vec<Pod>, Vec<SocketAddr>) {
    let (listeners, addrs) = listeners(n).await;
    (listeners.into_iter().map(|listener| Pod(tokio::spawn(echo(listener)).abort_handle())).collect(), addrs)
}

async fn echo(listener: TcpListener) {
    let mut clients = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let own = client.local_addr().unwrap().to_string();
        clients.spawn(async move {
            client.write_u8(own.len() as u8).await?;
            client.write_all(own.as_bytes()).await?;
            let (mut read, mut write) = client.split();
            tokio::io::copy(&mut read, &mut write).await?;
            client.shutdown().await
        });
    }
}

/// Connects, and reads which pod it is.
pub(crate) async fn visit(at: SocketAddr) -> std::io::Result<(TcpStream, SocketAddr)> {
    let mut stream = TcpStream::connect(at).await?;
    let pod = greeting(&mut stream).await?;
    Ok((stream, pod))
}

pub(crate) async fn greeting(stream: &mut TcpStream) -> std::io::Result<SocketAddr> {
    let mut name = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut name).await?;
    Ok(String::from_utf8(name).unwrap().parse().unwrap())
}

/// A pod for datagrams: answers with its address and what it was sent. Dropping it closes its socket.
pub(crate) async fn udp_pods(n: usize) -> (Vec<Pod>, Vec<SocketAddr>) {
    let (mut pods, mut addrs, mut port) = (Vec::new(), Vec::new(), 0);
    for ip in addresses(n) {
        let socket = UdpSocket::bind((ip, port)).await.unwrap();
        addrs.push(socket.local_addr().unwrap());
        port = addrs[0].port();
        pods.push(Pod(tokio::spawn(answer(socket)).abort_handle()));
    }
    (pods, addrs)
}

async fn answer(socket: UdpSocket) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // An error is of an answer that has not arrived.
        if let Ok((n, client)) = socket.recv_from(&mut buffer).await {
            let answer = [socket.local_addr().unwrap().to_string().as_bytes(), b" ", &buffer[..n]].concat();
            let _ = socket.send_to(&answer, client).await;
        }
    }
}
