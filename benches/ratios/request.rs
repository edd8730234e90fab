//! A whole HTTP/1.1 request over a kept connection, beside a plain `reqwest::Client` on a fixed address.

use std::time::Instant;

use cpu_time::ThreadTime;
use discovery_testing::{FakeCluster, FakeService};
use tokio::runtime::Runtime;

use crate::{
    measure::{Cost, median, opt_out_returning},
    table::{Line, Row, Table, Unit},
    world,
};

/// Requests of each contestant per batch; contestants take turns after each request.
const BATCH: usize = 1_000;
const BATCHES: usize = 15;
/// Requests in a row where processor time is measured.
const RUN: usize = 250;

pub fn run(table: &mut Table) {
    let (servers, here) = (world::elsewhere(1), world::here());
    let cluster = servers.block_on(FakeCluster::start()).expect("a cluster");
    for pods in [1, 4] {
        let name = format!("orders-{pods}");
        let starting = cluster.service("shop", &name).replicas(pods).start();
        let service = servers.block_on(starting).expect("a Service");
        against_plain(table, &here, &cluster, &service, pods);
    }
}

fn against_plain(table: &mut Table, here: &Runtime, cluster: &FakeCluster, service: &FakeService, pods: usize) {
    let resolver = world::ours(cluster.dns()).build().expect("a resolver");
    let ours = discovery_reqwest::Client::builder(resolver).configure(reqwest::ClientBuilder::no_proxy).build();
    let ours = ours.expect("our client");
    // The same URL for the first three; the fourth has the pod's address in its URL, as an application that needs no
    // discovery would write it, which takes longer to parse.
    let (host, pod) = (format!("orders-{pods}.shop"), service.pods()[0].addr());
    let url = format!("http://{host}:{}/", service.port());
    let client = || reqwest::Client::builder().no_proxy().resolve(&host, pod).build().expect("a plain client");
    let (plain, control, fixed) = (client(), client(), client());
    let fixed_url = format!("http://{pod}/");

    let our_request = async || {
        let response = ours.get(&url).send().await.expect("a response");
        response.bytes().await.expect("a body").len()
    };
    let plain_request = async || get(&plain, &url).await;
    let control_request = async || get(&control, &url).await;
    let fixed_request = async || get(&fixed, &fixed_url).await;
    // Every pod's connection is open before the first request that counts.
    here.block_on(async {
        for _ in 0..200 {
            our_request().await;
            plain_request().await;
            control_request().await;
            fixed_request().await;
        }
    });

    let mut rounds: Vec<[f64; 4]> = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let batch = here.block_on(async {
            let mut took: [Vec<f64>; 4] = std::array::from_fn(|_| Vec::with_capacity(BATCH));
            for turn in 0..BATCH * 4 {
                // Each contestant comes after each other one equally often.
                let at = [0, 1, 2, 3, 0, 2, 3, 1, 0, 3, 1, 2][turn % 12];
                let start = Instant::now();
                match at {
                    0 => our_request().await,
                    1 => plain_request().await,
                    2 => control_request().await,
                    _ => fixed_request().await,
                };
                took[at].push(start.elapsed().as_nanos() as f64);
            }
            took.map(median)
        });
        rounds.push(batch);
    }
    let column = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
    let over =
        |at: usize, peer: usize| median(rounds.iter().map(|round| (round[at] / round[peer] - 1.0) * 100.0).collect());
    let cost = |at: usize, allocs: f64| Cost { ns: column(at), allocs: Some(allocs) };
    let (our_allocs, their_allocs) = (allocations(here, &our_request), allocations(here, &plain_request));
    let (mut our_cpu, mut their_cpu) = (Vec::new(), Vec::new());
    opt_out_returning(|| {
        for _ in 0..2 * BATCHES {
            our_cpu.push(processor(here, &our_request));
            their_cpu.push(processor(here, &plain_request));
        }
    });
    let (our_cpu, their_cpu) = (median(our_cpu), median(their_cpu));

    let row = |what: &str| format!("request, {pods} pod(s): {what}");
    let peer = "plain reqwest";
    table.add(Row::costs(row("latency"), cost(0, our_allocs), peer, cost(1, their_allocs), Line::None));
    let (same, fixed) = (row("over the same URL, resolved once"), row("over an address in the URL"));
    table.add(Row::plain(same, Unit::Percent, over(0, 1), None, Line::AtMost(2.0)));
    table.add(Row::plain(fixed, Unit::Percent, over(0, 3), None, Line::AtMost(2.0)));
    table.add(Row::plain(row("control, plain / plain"), Unit::Percent, over(2, 1), None, Line::None));
    table.add(Row::plain(row("client's CPU"), Unit::Nanos, our_cpu, Some((peer, their_cpu)), Line::None));
}

async fn get(client: &reqwest::Client, url: &str) -> usize {
    let response = client.get(url).send().await.expect("a response");
    response.bytes().await.expect("a body").len()
}

/// Allocations of one request, all tasks of the client included: they run on this thread.
fn allocations(here: &Runtime, request: &impl AsyncFn() -> usize) -> f64 {
    let counted = allocation_counter::measure(|| {
        here.block_on(async {
            for _ in 0..BATCH {
                request().await;
            }
        });
    });
    (counted.count_total as f64 / BATCH as f64 * 10.0).round() / 10.0
}

/// Nanoseconds of processor time that one request takes on the client's thread.
fn processor(here: &Runtime, request: &impl AsyncFn() -> usize) -> f64 {
    here.block_on(async {
        let start = ThreadTime::now();
        for _ in 0..RUN {
            request().await;
        }
        start.elapsed().as_nanos() as f64 / RUN as f64
    })
}
