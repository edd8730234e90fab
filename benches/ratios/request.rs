//! A whole HTTP/1.1 request over a kept-alive connection, beside a plain `reqwest::Client` with a fixed address.

use std::time::Instant;

use cpu_time::ThreadTime;
use discovery_testing::{FakeCluster, FakeService};
use tokio::runtime::Runtime;

use crate::{
    measure::{Cost, median, opt_out_returning},
    table::{Limit, Row, Table, Unit},
    world,
};

const BATCHES: usize = 50;
/// The number of requests of each contestant in a batch.
const BATCH: usize = 200;
const CONTESTANTS: usize = 5;
/// The number of requests whose allocations are counted.
const COUNTED: usize = 1_000;

/// Where the pods run, and how contestants take turns there.
struct Setup<'a> {
    name: &'static str,
    servers: &'a Runtime,
    /// The number of requests in a row before the next contestant's turn.
    run: usize,
}

pub fn run(table: &mut Table) {
    let (here, elsewhere) = (world::here(), world::elsewhere(1));
    let setups = [
        // No request waits for another processor to wake up. On a virtual machine that wait takes several times as long
        // as everything else, and twice or half as long a minute later. Requests come in a row, as an application sends
        // them: with turns after each request, the plain contestants keep their shared code in the processor's caches.
        Setup { name: "one thread", servers: &here, run: 50 },
        // Here the wait changes faster than such a run takes.
        Setup { name: "pods elsewhere", servers: &elsewhere, run: 1 },
    ];
    for setup in setups {
        let cluster = setup.servers.block_on(FakeCluster::start()).expect("a cluster");
        for pods in [1, 4] {
            let starting = cluster.service("shop", &format!("orders-{pods}")).replicas(pods).start();
            let service = setup.servers.block_on(starting).expect("a Service");
            against_plain(table, &here, &cluster, &service, &setup);
        }
    }
}

fn against_plain(table: &mut Table, here: &Runtime, cluster: &FakeCluster, service: &FakeService, setup: &Setup<'_>) {
    let resolver = world::ours(cluster.dns()).build().expect("a resolver");
    let ours = discovery_reqwest::Client::builder(resolver).configure(reqwest::ClientBuilder::no_proxy).build();
    let ours = ours.expect("our client");
    // Some contestants have the same URL as ours, others the pod's address in it, as an application without discovery
    // would write it. An address takes longer to parse.
    let (host, pods) = (service.name(), service.pods());
    let url = format!("http://{host}:{}/", service.port());
    let client = |at: usize| {
        let client = reqwest::Client::builder().no_proxy().resolve(&host, pods[at].addr()).build();
        client.expect("a plain client")
    };
    let (plain, control, fixed) = (client(0), client(0), client(0));
    let fixed_urls: Vec<_> = pods.iter().map(|pod| format!("http://{}/", pod.addr())).collect();
    // These clients show the cost of several connections without a choice between endpoints.
    let in_turn: Vec<_> = (0..pods.len()).map(client).collect();
    let mut turn = 0;

    let our_request = async || {
        let response = ours.get(&url).send().await.expect("a response");
        response.bytes().await.expect("a body").len()
    };
    let plain_request = async || get(&plain, &url).await;
    let mut request = async |contestant: usize| match contestant {
        0 => our_request().await,
        1 => plain_request().await,
        2 => get(&fixed, &fixed_urls[0]).await,
        3 => get(&control, &url).await,
        _ => {
            turn = (turn + 1) % in_turn.len();
            get(&in_turn[turn], &fixed_urls[turn]).await
        }
    };
    // Warm up, so that every connection is open before the first request that counts.
    here.block_on(async {
        for nth in 0..1_000 {
            request(nth % CONTESTANTS).await;
        }
    });

    let mut batches: Vec<[f64; CONTESTANTS]> = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let mut took: [Vec<f64>; CONTESTANTS] = std::array::from_fn(|_| Vec::with_capacity(BATCH));
        here.block_on(async {
            for turn in 0..BATCH / setup.run * CONTESTANTS {
                // Five is prime, so with every stride each contestant follows a different one.
                let stride = turn / CONTESTANTS % (CONTESTANTS - 1) + 1;
                let at = turn % CONTESTANTS * stride % CONTESTANTS;
                for _ in 0..setup.run {
                    let start = Instant::now();
                    request(at).await;
                    took[at].push(start.elapsed().as_nanos() as f64);
                }
            }
        });
        batches.push(took.map(median));
    }
    let column = |at: usize| median(batches.iter().map(|batch| batch[at]).collect());
    let over =
        |at: usize, peer: usize| median(batches.iter().map(|batch| (batch[at] / batch[peer] - 1.0) * 100.0).collect());
    let cost = |at: usize, allocs: f64| Cost { ns: column(at), allocs: Some(allocs) };
    let (our_allocs, their_allocs) = (allocations(here, &our_request), allocations(here, &plain_request));
    let (mut our_cpu, mut their_cpu) = (Vec::new(), Vec::new());
    opt_out_returning(|| {
        for _ in 0..BATCHES {
            our_cpu.push(processor(here, &our_request));
            their_cpu.push(processor(here, &plain_request));
        }
    });
    let (our_cpu, their_cpu) = (median(our_cpu), median(their_cpu));

    let plural = if pods.len() == 1 { "" } else { "s" };
    let row = |name: &str| format!("request, {}, {} pod{plural}: {name}", setup.name, pods.len());
    let percent = |name: &str, value, limit| Row::plain(row(name), Unit::Percent, value, None, limit);
    let peer = "plain reqwest";
    table.add(Row::costs(row("latency"), cost(0, our_allocs), peer, cost(1, their_allocs), Limit::None));
    table.add(percent("over an address in the URL", over(0, 2), Limit::AtMost(2.0)));
    if pods.len() > 1 {
        table.add(percent("over four plain clients in turn", over(0, 4), Limit::AtMost(2.0)));
        table.add(percent("four plain clients in turn, over one", over(4, 2), Limit::None));
    }
    table.add(percent("over the same URL, resolved once", over(0, 1), Limit::None));
    table.add(percent("control, plain / plain", over(3, 1), Limit::None));
    table.add(Row::plain(row("CPU"), Unit::Nanos, our_cpu, Some((peer, their_cpu)), Limit::None));
}

async fn get(client: &reqwest::Client, url: &str) -> usize {
    let response = client.get(url).send().await.expect("a response");
    response.bytes().await.expect("a body").len()
}

/// The number of allocations of one request on this thread, where all tasks of the client run.
fn allocations(here: &Runtime, request: &impl AsyncFn() -> usize) -> f64 {
    let counted = allocation_counter::measure(|| {
        here.block_on(async {
            for _ in 0..COUNTED {
                request().await;
            }
        });
    });
    (counted.count_total as f64 / COUNTED as f64 * 10.0).round() / 10.0
}

/// The processor time of one request on this thread, in nanoseconds.
fn processor(here: &Runtime, request: &impl AsyncFn() -> usize) -> f64 {
    here.block_on(async {
        let start = ThreadTime::now();
        for _ in 0..BATCH {
            request().await;
        }
        start.elapsed().as_nanos() as f64 / BATCH as f64
    })
}
