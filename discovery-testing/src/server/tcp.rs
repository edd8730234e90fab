use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

use super::{
    PAUSE,
    respond::{Reply, respond},
};
use crate::{dns::Shared, question::Transport};

/// Accepts connections until dropped, and drops them all then.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
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

/// Reads questions as they come and writes each answer when it is due, in any order (RFC 7766 section 6.2.1.1).
async fn connection(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    // Answers leave at once; failing to say so costs latency only.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (answers, queue) = unbounded_channel();
    let reading = async {
        let delayed = read(reader, from, &shared, answers).await;
        delayed.join_all().await;
    };
    tokio::join!(reading, write(writer, queue));
}

/// Returns at the end of the stream, with the answers that are still held back.
async fn read(
    mut reader: OwnedReadHalf,
    from: SocketAddr,
    shared: &Shared,
    answers: UnboundedSender<Vec<u8>>,
) -> JoinSet<()> {
    let mut delayed = JoinSet::new();
    while let Ok(packet) = frame(&mut reader).await {
        let reply = respond(shared, &packet, Transport::Tcp, from);
        let Reply { delay, bytes, close } = reply;
        if close {
            delayed.abort_all();
            break;
        }
        let Some(bytes) = bytes else {
            continue;
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
