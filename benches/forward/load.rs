//! The loads.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::MissedTickBehavior,
};

/// How many connections are opened, used for one question, and closed in this time, by so many clients at once.
pub async fn connections(addr: SocketAddr, clients: usize, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut set = JoinSet::new();
    for _ in 0..clients {
        set.spawn(async move {
            let mut done = 0;
            while Instant::now() < end {
                match one(addr).await {
                    Ok(()) => done += 1,
                    Err(error) => panic!("a connection failed: {error}"),
                }
            }
            done
        });
    }
    set.join_all().await.into_iter().sum()
}

async fn one(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    ask(&mut stream, 1).await
}

/// The time that `streams` downloads of `bytes` each take.
pub async fn bulk(addr: SocketAddr, streams: usize, bytes: u64) -> Duration {
    let begin = Instant::now();
    let mut set = JoinSet::new();
    for _ in 0..streams {
        set.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("a connection");
            stream.write_u64(bytes).await.expect("a question");
            let (mut buffer, mut read) = (vec![0; 256 * 1024], 0);
            loop {
                match stream.read(&mut buffer).await.expect("an answer") {
                    0 => break,
                    n => read += n as u64,
                }
            }
            assert_eq!(read, bytes, "a download is cut");
        });
    }
    set.join_all().await;
    begin.elapsed()
}

/// The times that questions of 512 bytes take over kept connections, each from when it was due: whoever is late has
/// to answer for it.
pub async fn paced(addr: SocketAddr, connections: usize, per_ms: usize, time: Duration) -> Vec<Duration> {
    let mut idle = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(addr).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        idle.push(stream);
    }
    let (back, mut returned) = tokio::sync::mpsc::unbounded_channel();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (end, mut times) = (Instant::now() + time, Vec::new());
    while Instant::now() < end {
        let due = tick.tick().await;
        for _ in 0..per_ms {
            while let Ok((stream, took)) = returned.try_recv() {
                idle.push(stream);
                times.push(took);
            }
            let mut stream = match idle.pop() {
                Some(stream) => stream,
                None => {
                    let (stream, took) = returned.recv().await.expect("a connection comes back");
                    times.push(took);
                    stream
                }
            };
            let back = back.clone();
            tokio::spawn(async move {
                ask(&mut stream, 512).await.expect("an answer");
                back.send((stream, due.elapsed())).ok();
            });
        }
    }
    drop(back);
    while let Some((_, took)) = returned.recv().await {
        times.push(took);
    }
    times
}

/// Connections that have said one word each way and then nothing.
pub async fn idle(addr: SocketAddr, n: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..n {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        ask(&mut stream, 1).await.expect("an answer");
        streams.push(stream);
    }
    streams
}

async fn ask(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let (question, mut answer) = ([1; 512], [0; 512]);
    stream.write_all(&question[..bytes]).await?;
    stream.read_exact(&mut answer[..bytes]).await.map(|_| ())
}
