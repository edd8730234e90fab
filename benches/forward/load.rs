//! The load generators.

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

/// Lets `clients` clients open, use for one request, and close connections for this time; returns their number.
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

/// Downloads `bytes` over each of `streams` connections at once; returns how long that takes.
pub async fn bulk(addr: SocketAddr, streams: usize, bytes: u64) -> Duration {
    let start = Instant::now();
    let mut set = JoinSet::new();
    for _ in 0..streams {
        set.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("a connection");
            stream.write_u64(bytes).await.expect("the request is sent");
            let (mut buffer, mut read) = (vec![0; 256 * 1024], 0);
            loop {
                match stream.read(&mut buffer).await.expect("an answer") {
                    0 => break,
                    n => read += n as u64,
                }
            }
            assert_eq!(read, bytes, "a download ended early");
        });
    }
    set.join_all().await;
    start.elapsed()
}

/// Sends requests of 512 bytes at a fixed rate over kept connections; returns their times. A time counts from when the
/// request was due, so that a late request does not hide its delay.
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
                    let (stream, took) = returned.recv().await.expect("a connection is returned");
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

/// Opens `n` connections that carry one byte in each direction and then stay idle.
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
