//! The sockets of a DNS server: one UDP socket and one TCP listener on the same port.

mod respond;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

use self::respond::{Reply, respond};
use crate::{dns::Shared, query::Transport};

/// How many ports are tried, or how often a given port is tried again.
const ATTEMPTS: usize = 100;
/// The pause between two attempts to bind a given port, and after a socket error (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(20);

/// A running server. Dropping it closes both sockets and every connection.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl Server {
    /// Binds both sockets. Port 0 is any free port; a given port that is taken is tried again for a short time.
    pub(crate) async fn start(addr: SocketAddr, shared: Arc<Shared>) -> io::Result<Self> {
        let (udp, tcp) = bind_both(addr).await?;
        let addr = tcp.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&shared)));
        tasks.spawn(serve_tcp(tcp, shared));
        Ok(Self { addr, tasks })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resolves when the sockets are closed.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn bind_both(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempt = 1;
    loop {
        match bind_once(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
                if addr.port() != 0 {
                    sleep(PAUSE).await;
                }
            }
            bound => return bound,
        }
    }
}

async fn bind_once(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(addr).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((udp, tcp))
}

/// Answers datagrams until dropped.
async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut delayed = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        while delayed.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(PAUSE).await;
            continue;
        };
        let Reply::Send { delay, bytes } = respond(&shared, &buffer[..length], Transport::Udp, from) else {
            continue;
        };
        if delay.is_zero() {
            // A datagram may be lost; the client then asks again.
            let _ = socket.send_to(&bytes, from).await;
        } else {
            let socket = Arc::clone(&socket);
            delayed.spawn(async move {
                sleep(delay).await;
                let _ = socket.send_to(&bytes, from).await;
            });
        }
    }
}

/// Accepts connections until dropped, and then closes all of them.
async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                connections.spawn(connection(stream, from, Arc::clone(&shared)));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Reads queries and writes each answer when it is due, in any order (RFC 7766 section 6.2.1.1).
async fn connection(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    // Without this option, answers are only slower.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (answers, queue) = unbounded_channel();
    let reading = async {
        let delayed = read(reader, from, &shared, answers).await;
        delayed.join_all().await;
    };
    tokio::join!(reading, write(writer, queue));
}

/// Returns the delayed answers at the end of the stream.
async fn read(
    mut reader: OwnedReadHalf,
    from: SocketAddr,
    shared: &Shared,
    answers: UnboundedSender<Vec<u8>>,
) -> JoinSet<()> {
    let mut delayed = JoinSet::new();
    while let Ok(packet) = frame(&mut reader).await {
        let (delay, bytes) = match respond(shared, &packet, Transport::Tcp, from) {
            Reply::Send { delay, bytes } => (delay, bytes),
            Reply::Nothing => continue,
            Reply::Disconnect => {
                delayed.abort_all();
                break;
            }
        };
        let answers = answers.clone();
        if delay.is_zero() {
            // Fails only if the client is gone.
            let _ = answers.send(bytes);
        } else {
            delayed.spawn(async move {
                sleep(delay).await;
                let _ = answers.send(bytes);
            });
        }
    }
    delayed
}

async fn frame(reader: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = reader.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    reader.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn write(mut writer: OwnedWriteHalf, mut queue: UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        let Ok(length) = u16::try_from(bytes.len()) else {
            continue;
        };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(bytes);
        if writer.write_all(&framed).await.is_err() {
            return;
        }
    }
}
