//! CoreDNS is down, restarts, is not synced, or its replicas disagree (`docs/failure-modes.md`, F6 and F10).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::{Upstream, refresh::RefreshSettings};

use super::{Caller, Observations, client, expected, headless, ips, slice, steady};
use crate::harness::{Cluster, Options, on_cluster};

const TARGET: &str = "http://orders:8080";
const BOTH: [&str; 2] = ["coredns-0", "coredns-1"];

/// The longest that one question may take: two attempts of a second each, doubled for a busy machine.
const QUESTION: Duration = Duration::from_secs(4);

/// Runs a test with two CoreDNS replicas and a Service with three endpoints.
fn on_two_replicas<F: Future<Output = ()>>(test: impl FnOnce(Arc<Cluster>) -> F + Send) {
    on_cluster(Options::default().dns_replicas(2), |cluster| async move {
        client(&cluster).await;
        cluster.apply_object(&headless("shop", "orders")).await;
        cluster.apply_object(&slice("shop", "orders", ips(3))).await;
        test(cluster).await;
    });
}

/// A caller that has found all three endpoints.
async fn caller(cluster: &Arc<Cluster>, settings: RefreshSettings) -> Caller {
    let caller = Caller::start(cluster, TARGET, settings).await;
    caller.until_set(&expected(3)).await;
    caller
}

/// Asserts that the caller kept all three endpoints from the moment when it had found them.
fn assert_unchanged(seen: &Observations, what: &str) {
    let wanted = expected(3);
    let all = seen.sets.iter().position(|(_, set)| *set == wanted).unwrap();
    assert!(seen.sets[all..].iter().all(|(_, set)| *set == wanted), "{what}: {:?}", seen.sets);
}

/// The total time during which the set was stale.
fn stale_for(seen: &Observations) -> Duration {
    let mut total = Duration::ZERO;
    for pair in seen.stale.windows(2) {
        if pair[0].1 {
            total += pair[1].0 - pair[0].0;
        }
    }
    total
}

/// Adds an endpoint and waits until the caller finds it.
async fn finds_a_new_endpoint(cluster: &Cluster, caller: &Caller) {
    cluster.apply_object(&slice("shop", "orders", ips(4))).await;
    caller.until_set(&expected(4)).await;
}

/// F6: with one of two replicas killed, half of all packets are lost. No pick fails.
#[test]
fn keeps_endpoints_while_one_replica_is_killed() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        cluster.kill("coredns-0").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_unchanged(&caller.seen.lock().unwrap(), "one killed");
        // The other replica still reports changes.
        finds_a_new_endpoint(&cluster, &caller).await;
        let seen = caller.end().await;
        println!("F6: one replica killed: {} picks, 0 errors, stale for {:?}", seen.picks, stale_for(&seen));
    });
}

/// F6.
#[test]
fn keeps_endpoints_while_one_replica_hangs() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        cluster.stop("coredns-0");
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_unchanged(&caller.seen.lock().unwrap(), "one hangs");
        finds_a_new_endpoint(&cluster, &caller).await;
        cluster.cont("coredns-0");
        let seen = caller.end().await;
        println!("F6: one replica hangs: {} picks, 0 errors, stale for {:?}", seen.picks, stale_for(&seen));
    });
}

/// F6: the set stays and is marked stale. Once CoreDNS answers again, the set is fresh within one step of the backoff.
#[test]
fn keeps_stale_endpoints_while_both_replicas_are_down_and_recovers() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        for name in BOTH {
            cluster.kill(name).await;
        }
        let down = Instant::now();
        caller.until("stale", |upstream| upstream.endpoints().is_stale()).await;
        let noticed = down.elapsed();
        // Long enough for the backoff to reach its maximum.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(caller.upstream.endpoints().is_stale());
        for name in BOTH {
            cluster.start_again(name);
        }
        cluster.dns_answers().await;
        let back = Instant::now();
        caller.until("fresh", |upstream| !upstream.endpoints().is_stale()).await;
        let recovered = back.elapsed();
        assert_unchanged(&caller.seen.lock().unwrap(), "both killed");
        finds_a_new_endpoint(&cluster, &caller).await;
        let seen = caller.end().await;
        println!(
            "F6: both killed: stale after {noticed:?}, down for {:?}, fresh {recovered:?} after the first answer, \
             {} picks, 0 errors",
            back - down,
            seen.picks,
        );
        assert!(recovered <= steady().backoff_max() + QUESTION, "{recovered:?}");
    });
}

/// F6: one replica after the other is replaced, as in a rolling update of CoreDNS with `maxUnavailable: 1`.
#[test]
fn keeps_endpoints_while_the_replicas_are_rolled() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        for name in [BOTH, BOTH].concat() {
            cluster.kill(name).await;
            // A replacement pod takes a moment to start.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let lines = cluster.log(name).len();
            cluster.start_again(name);
            let ready = async || cluster.log(name)[lines..].iter().any(|line| line.contains("\" NOERROR"));
            cluster.until(name, ready).await;
        }
        assert_unchanged(&caller.seen.lock().unwrap(), "rolled");
        finds_a_new_endpoint(&cluster, &caller).await;
        let seen = caller.end().await;
        println!("F6: rolled twice: {} picks, 0 errors, stale for {:?}", seen.picks, stale_for(&seen));
    });
}

/// F6: a CoreDNS that has not synced with the API server knows no names, and its negative answers must not be trusted.
#[test]
fn keeps_endpoints_while_the_replicas_are_not_synced() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        cluster.stop("apiserver");
        let lines: Vec<usize> = BOTH.iter().map(|name| cluster.log(name).len()).collect();
        for name in BOTH {
            cluster.kill(name).await;
            cluster.start_again(name);
        }
        caller.until("stale", |upstream| upstream.endpoints().is_stale()).await;
        // CoreDNS waits 5 s for the sync, then answers without it.
        let answered = || {
            let mut codes = BTreeMap::<String, usize>::new();
            for (name, lines) in BOTH.iter().zip(&lines) {
                for line in cluster.log(name).iter().skip(*lines) {
                    let code = line.split_once("\" ").and_then(|(_, rest)| rest.split(' ').next());
                    *codes.entry(code.unwrap_or("(no answer)").to_owned()).or_default() += 1;
                }
            }
            codes.retain(|code, _| code.chars().all(|c| c.is_ascii_uppercase()));
            codes
        };
        cluster.until("an answer from an unsynced replica", async || !answered().is_empty()).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let codes = answered();
        let why = caller.upstream.explain().to_string();
        assert!(caller.upstream.endpoints().is_stale(), "{why}");
        assert_unchanged(&caller.seen.lock().unwrap(), "not synced");
        cluster.cont("apiserver");
        cluster.dns_answers().await;
        let back = Instant::now();
        caller.until("fresh", |upstream| !upstream.endpoints().is_stale()).await;
        let recovered = back.elapsed();
        assert_unchanged(&caller.seen.lock().unwrap(), "synced");
        finds_a_new_endpoint(&cluster, &caller).await;
        let seen = caller.end().await;
        println!(
            "F6: not synced: answers {codes:?}, stale for {:?}, fresh {recovered:?} after the first good answer, \
             {} picks, 0 errors",
            stale_for(&seen),
            seen.picks,
        );
    });
}

/// F10: one of two replicas misses a change, so old and new answers alternate. An address is added as soon as one
/// answer holds it, and removed once no answer held it for the removal hold.
#[test]
fn merges_answers_while_the_replicas_disagree() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        let replica =
            cluster.slices("kube-system", "kube-dns").await[0].endpoints.as_ref().unwrap()[0].addresses[0].clone();
        let cut_off = [
            cluster.drop_packets(&format!("ip saddr {replica} tcp dport 6443")),
            cluster.drop_packets(&format!("ip daddr {replica} tcp sport 6443")),
        ];
        let start = Instant::now();
        let asked = cluster.dns_questions().len();
        // One endpoint is replaced by another.
        cluster.apply_object(&slice("shop", "orders", ips(4).skip(1))).await;
        let added = |upstream: &Upstream| tests::addrs(&upstream.endpoints()).contains(&expected(4)[3]);
        caller.until("the new endpoint", added).await;
        let added = start.elapsed();
        tokio::time::sleep(Duration::from_secs(8)).await;
        let (disagreed, asked) = (start.elapsed(), cluster.dns_questions().len() - asked);
        drop(cut_off);
        caller.until_set(&expected(4)[1..]).await;
        let agreed = start.elapsed();
        // Long enough to see whether the set changes again.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let hold = steady().removal_hold();
        let seen = caller.end().await;
        let sets: Vec<_> = seen.sets.iter().filter(|(at, _)| *at >= start).collect();
        for addr in expected(4) {
            let mut changes: Vec<(Instant, bool)> = Vec::new();
            let mut present = addr != expected(4)[3];
            for (at, set) in &sets {
                if set.contains(&addr) != present {
                    present = !present;
                    changes.push((*at, present));
                }
            }
            let removals = changes.iter().filter(|(_, present)| !present).count();
            println!(
                "F10: {addr}: {removals} removals, {} additions in {disagreed:?} with {asked} questions",
                changes.len() - removals
            );
            // An address is removed no sooner than one hold after it was added. The watch sees both with a small delay.
            let least = hold.mul_f64(0.9);
            let too_soon = changes.windows(2).any(|pair| pair[0].1 && pair[1].0 - pair[0].0 < least);
            assert!(!too_soon, "{addr}: {changes:?}");
            let most = usize::try_from(agreed.as_millis() / hold.as_millis()).unwrap() + 1;
            assert!(removals <= most && changes.len() <= 2 * most, "{addr}: {changes:?}");
        }
        for stays in &expected(4)[1..3] {
            assert!(sets.iter().all(|(_, set)| set.contains(stays)), "{stays}: {sets:?}");
        }
        println!(
            "F10: the new endpoint was found after {added:?}; the set settled {:?} after the replicas agreed",
            agreed - disagreed
        );
    });
}
