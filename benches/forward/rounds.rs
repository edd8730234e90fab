//! Rounds in which the proxies take turns, and the table of the medians.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpStream;

use crate::{
    load,
    process::Process,
    proxies::{self, Proxy},
};

const PODS: u16 = 18_100;
const ROUNDS: usize = 25;

/// The result of one proxy in one round: the figure, and the processor time for each unit of work.
#[derive(Clone, Copy)]
struct RoundResult {
    figure: f64,
    cpu: f64,
}

pub fn run(parts: &[&str]) {
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _pods = Process::role(&["pods", &PODS.to_string()]);
    println!("| work | proxy | median | ours/peer | CPU, us | ours/peer |\n|---|---|---|---|---|---|");
    runtime.block_on(async {
        ready(PODS).await;
        if wanted("memory") {
            memory(&[Proxy::haproxy(18_500, PODS, false), Proxy::ours(18_600, PODS)]).await;
        }
        let proxies =
            [Proxy::ours(18_200, PODS), Proxy::haproxy(18_300, PODS, false), Proxy::haproxy(18_400, PODS, true)];
        for proxy in &proxies {
            ready(proxy.port).await;
        }
        if wanted("connections") {
            connections(&proxies[..2], 1).await;
            connections(&proxies[..2], 64).await;
        }
        if wanted("paced") {
            paced(&proxies[..2]).await;
        }
        if wanted("bulk") {
            bulk(&proxies, 1).await;
            bulk(&proxies, 4).await;
        }
    });
}

async fn connections(proxies: &[Proxy], clients: usize) {
    let time = Duration::from_millis(400);
    let all = rounds(proxies, async |proxy: &Proxy| {
        let done = load::connections(at(proxy.port), clients, time).await as f64;
        (done / time.as_secs_f64(), done)
    });
    table(&format!("connections/s, {clients} at once"), proxies, &all.await);
}

async fn bulk(proxies: &[Proxy], streams: usize) {
    const MEBIBYTES: u64 = 256;
    let all = rounds(proxies, async |proxy: &Proxy| {
        let took = load::bulk(at(proxy.port + 1), streams, (MEBIBYTES << 20) / streams as u64).await;
        (MEBIBYTES as f64 / took.as_secs_f64(), MEBIBYTES as f64)
    });
    table(&format!("bulk, MiB/s, {streams} at once"), proxies, &all.await);
}

async fn paced(proxies: &[Proxy]) {
    let all = rounds(proxies, async |proxy: &Proxy| {
        let mut times = load::paced(at(proxy.port), 64, 2, Duration::from_secs(1)).await;
        times.sort_unstable();
        (times[times.len() * 99 / 100].as_secs_f64() * 1e6, times.len() as f64)
    });
    table("p99, us, at 2000 requests/s", proxies, &all.await);
}

async fn memory(proxies: &[Proxy]) {
    let idle = proxies::idle();
    let (mut held, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for proxy in proxies {
        ready(proxy.port).await;
        before.push(proxy.process.memory());
        held.push(load::idle(at(proxy.port), idle).await);
        after.push(proxy.process.memory());
    }
    for ((proxy, before), after) in proxies.iter().zip(before).zip(after) {
        let each = (after.anonymous - before.anonymous) as f64 * 1024.0 / idle as f64;
        println!(
            "| {idle} idle: RSS, kB | {} | {} (anonymous {}, before {}: {each:.0} bytes each) | | | |",
            proxy.name, after.all, after.anonymous, before.anonymous
        );
    }
    drop(held);
}

/// Runs the work on each proxy in turn, in rotating order, after one round of warm-up.
async fn rounds(proxies: &[Proxy], work: impl AsyncFn(&Proxy) -> (f64, f64)) -> Vec<Vec<RoundResult>> {
    let mut all = vec![Vec::new(); proxies.len()];
    for round in 0..=ROUNDS {
        for turn in 0..proxies.len() {
            let at = (round + turn) % proxies.len();
            let before = proxies[at].process.cpu();
            let (figure, units) = work(&proxies[at]).await;
            let cpu = (proxies[at].process.cpu() - before).as_secs_f64() * 1e6 / units;
            if round > 0 {
                all[at].push(RoundResult { figure, cpu });
            }
        }
    }
    all
}

/// Prints the medians and their ratios. The first proxy is ours.
fn table(work: &str, proxies: &[Proxy], all: &[Vec<RoundResult>]) {
    let medians: Vec<(f64, f64)> = all
        .iter()
        .map(|one| (median(one.iter().map(|one| one.figure)), median(one.iter().map(|one| one.cpu))))
        .collect();
    let ours = medians[0];
    for (proxy, (figure, cpu)) in proxies.iter().zip(medians) {
        let (ratio, cpu_ratio) = (ours.0 / figure, ours.1 / cpu);
        println!("| {work} | {} | {figure:.0} | {ratio:.3} | {cpu:.1} | {cpu_ratio:.3} |", proxy.name);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn ready(port: u16) {
    let addr = if port == PODS { SocketAddr::from((crate::pods::ADDRESSES[0], port)) } else { at(port) };
    for _ in 0..1000 {
        if TcpStream::connect(addr).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no connection to {addr} within 10 s");
}
