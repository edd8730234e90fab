//! Two pods on 127.0.0.2 and 127.0.0.3. Port `n` echoes; port `n + 1` reads a length and writes that many bytes.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

pub const ADDRESSES: [[u8; 4]; 2] = [[127, 0, 0, 2], [127, 0, 0, 3]];

pub fn play(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for ip in ADDRESSES {
            let (echo, bulk) = (listen((ip, port).into()), listen((ip, port + 1).into()));
            tokio::spawn(serve(echo, echo_back));
            tokio::spawn(serve(bulk, write_bulk));
        }
        // Run until the parent process closes the pipe.
        let mut end = String::new();
        tokio::io::stdin().read_to_string(&mut end).await.ok();
    });
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(addr).expect("an address");
    socket.listen(4096).expect("a listener")
}

async fn serve<F>(listener: TcpListener, talk: fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        if let Ok((client, _)) = listener.accept().await {
            client.set_nodelay(true).ok();
            tokio::spawn(talk(client));
        }
    }
}

async fn echo_back(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            n => client.write_all(&buffer[..n]).await?,
        }
    }
}

async fn write_bulk(mut client: TcpStream) -> io::Result<()> {
    let data = vec![7; 256 * 1024];
    let mut left = client.read_u64().await? as usize;
    while left > 0 {
        left -= client.write(&data[..left.min(data.len())]).await?;
    }
    client.shutdown().await
}
