//! Pods: servers at addresses of loopback that share a port, as the endpoints of a slice do.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::{AbortHandle, JoinSet},
};

/// Addresses that no other pod has, of this process or of another test process.
pub(crate) fn addresses(n: usize) -> Vec<IpAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let block = u32::from_be_bytes([127, 64, 0, 0]) + (std::process::id() % 4096) * 1024;
    let next = |_| IpAddr::V4(Ipv4Addr::from_bits(block + 1 + NEXT.fetch_add(1, Ordering::Relaxed)));
    (0..n).map(next).collect()
}

/// Listeners at one port, which the system chose for the first of them.
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

/// The task of a pod. Dropping it kills the pod: its sockets close, and its connections are cut.
pub(crate) struct PodTask(AbortHandle);

impl Drop for PodTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pods that send their address on each connection, and then echo.
pub(crate) async fn echo_pods(n: usize) -> (Vec<PodTask>, Vec<SocketAddr>) {
    let (listeners, addrs) = listeners(n).await;
    (listeners.into_iter().map(|listener| PodTask(tokio::spawn(echo(listener)).abort_handle())).collect(), addrs)
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

/// Connects, and reads the address of the pod.
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

/// Pods that answer each datagram with their address and the datagram.
pub(crate) async fn udp_pods(n: usize) -> (Vec<PodTask>, Vec<SocketAddr>) {
    let (mut pods, mut addrs, mut port) = (Vec::new(), Vec::new(), 0);
    for ip in addresses(n) {
        let socket = UdpSocket::bind((ip, port)).await.unwrap();
        addrs.push(socket.local_addr().unwrap());
        port = addrs[0].port();
        pods.push(PodTask(tokio::spawn(answer(socket)).abort_handle()));
    }
    (pods, addrs)
}

async fn answer(socket: UdpSocket) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // An error here reports an earlier answer that did not arrive.
        if let Ok((n, client)) = socket.recv_from(&mut buffer).await {
            let answer = [socket.local_addr().unwrap().to_string().as_bytes(), b" ", &buffer[..n]].concat();
            let _ = socket.send_to(&answer, client).await;
        }
    }
}
