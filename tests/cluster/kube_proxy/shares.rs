//! The distribution of connections over pods: kube-proxy's counts and our core's follow the same distribution.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use super::{
    bench::Bench,
    network::{Network, Source, TestFlow},
    ours::{self, Ours},
    outcome::Outcome,
    send::{ANSWER_LIMIT, send},
    world::{Endpoint, Kind, Port, Protocol, ProxiedService, World},
};
use crate::harness::{Options, ProxyMode, on_cluster};

const PODS: usize = 4;
const CONNECTIONS: usize = 400;

/// The limit of chi-square. With 3 degrees of freedom, a fair sample exceeds it once in a thousand times.
const LIMIT: f64 = 16.27;

/// The number of samples that have to exceed the limit in a row for a failure. By chance that happens once in 10^9
/// times.
const SAMPLES: usize = 3;

type Counts = BTreeMap<SocketAddr, usize>;

/// The chi-square of two samples of the same size, for the hypothesis that they have the same distribution.
fn chi_square(one: &Counts, other: &Counts) -> f64 {
    let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let of = |counts: &Counts, key| counts.get(key).copied().unwrap_or(0) as f64;
    keys.into_iter().map(|key| (of(one, key) - of(other, key)).powi(2) / (of(one, key) + of(other, key))).sum()
}

/// The chi-square of a sample, for the hypothesis that every pod has the same share, as in our core.
fn against_equal(counts: &Counts) -> f64 {
    let expected = counts.values().sum::<usize>() as f64 / PODS as f64;
    let missing = (PODS - counts.len()) as f64 * expected;
    missing + counts.values().map(|count| (*count as f64 - expected).powi(2) / expected).sum::<f64>()
}

async fn sample(network: &Network, ours: &mut Ours, flow: TestFlow) -> (Counts, Counts) {
    let (mut real, mut expected) = (Counts::new(), Counts::new());
    for outcome in send(network, &[(flow, ANSWER_LIMIT); CONNECTIONS]).await {
        let Outcome::Pod { addr, .. } = outcome else { panic!("{flow}: {outcome}") };
        *real.entry(addr).or_default() += 1;
    }
    for _ in 0..CONNECTIONS {
        *expected.entry(ours.decide(&flow, Instant::now()).0.unwrap()).or_default() += 1;
    }
    (real, expected)
}

fn shares_match_our_core(mode: ProxyMode) {
    on_cluster(Options::default().proxy(mode), move |cluster| async move {
        let mut bench = Bench::new(cluster.clone(), ours::config(mode), 1).await;
        let port = |protocol| Port { protocol, number: 80, target: super::network::TARGETS[0] };
        let service = ProxiedService {
            kind: Kind::LoadBalancer,
            ports: Protocol::BOTH.map(port).into(),
            endpoints: bench.network.pods.iter().take(PODS).map(|ip| Endpoint::at(*ip)).collect(),
            ..ProxiedService::plain(1)
        };
        bench.apply(&World { services: vec![service.clone()] }).await;
        let mut ours = Ours::read(&cluster, bench.config.clone()).await;
        let sources = bench.network.sources();
        let pod = sources.iter().find(|source| matches!(source, Source::Pod(_))).unwrap();
        let outside = sources.iter().find(|source| matches!(source, Source::Outside(_))).unwrap();
        for protocol in Protocol::BOTH {
            for (source, ip) in [(*pod, service.cluster_ip()), (*outside, service.load_balancer())] {
                let flow = TestFlow { protocol, source, to: SocketAddr::new(ip.into(), 80) };
                let mut skewed = Vec::new();
                for _ in 0..SAMPLES {
                    let (real, expected) = sample(&bench.network, &mut ours, flow).await;
                    let (equal, same) = (against_equal(&real), chi_square(&real, &expected));
                    skewed.push(format!("{flow}: kube-proxy {:?}, our core {:?}", real.values(), expected.values()));
                    println!("{mode:?}, {}: chi-square {equal:.1} and {same:.1}", skewed.last().unwrap());
                    if equal < LIMIT && same < LIMIT {
                        skewed.clear();
                        break;
                    }
                }
                assert!(skewed.is_empty(), "{skewed:#?}");
            }
        }
    });
}

#[test]
fn shares_match_our_core_in_nftables_mode() {
    shares_match_our_core(ProxyMode::Nftables);
}

#[test]
fn shares_match_our_core_in_iptables_mode() {
    shares_match_our_core(ProxyMode::Iptables);
}

#[test]
fn chi_square_detects_a_skewed_share() {
    let counts = |of: [usize; PODS]| -> Counts {
        of.into_iter().enumerate().map(|(at, count)| (SocketAddr::from(([10, 0, 0, at as u8], 1)), count)).collect()
    };
    let (fair, skewed) = (counts([104, 97, 91, 108]), counts([190, 70, 70, 70]));
    assert!(against_equal(&fair) < LIMIT && against_equal(&skewed) > LIMIT);
    assert!(chi_square(&fair, &skewed) > LIMIT && chi_square(&fair, &counts([90, 110, 95, 105])) < LIMIT);
    assert!(against_equal(&Counts::from_iter(counts([200, 200, 0, 0]).into_iter().take(2))) > LIMIT);
}
