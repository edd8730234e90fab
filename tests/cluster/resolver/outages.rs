//! F6 and F10: CoreDNS is away, restarts, is not ready, or disagrees with itself.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::refresh::RefreshSettings;

use super::{Caller, Seen, client, expected, headless, ips, slice, steady};
use crate::harness::{Cluster, Options, on_cluster};

const TARGET: &str = "http://orders:8080";
const BOTH: [&str; 2] = ["coredns-0", "coredns-1"];

/// How long one question may take: two attempts of a second, and as much again on a busy machine.
const QUESTION: Duration = Duration::from_secs(4);

/// Two replicas, and a Service with three endpoints.
fn on_two_replicas<F: Future<Output = ()>>(test: impl FnOnce(Arc<Cluster>) -> F + Send) {
    on_cluster(Options::default().dns_replicas(2), |cluster| async move {
        client(&cluster).await;
        cluster.apply_object(&headless("shop", "orders")).await;
        cluster.apply_object(&slice("shop", "orders", ips(3))).await;
        test(cluster).await;
    });
}

/// A caller that has all of the three.
async fn caller(cluster: &Arc<Cluster>, settings: RefreshSettings) -> Caller {
    let caller = Caller::start(cluster, TARGET, settings).await;
    caller.until_set(&expected(3)).await;
    caller
}

/// What the caller had from the moment that it had all of them.
fn unchanged(seen: &Seen, what: &str) {
    let wanted = expected(3);
    let all = seen.sets.iter().position(|(_, set)| *set == wanted).unwrap();
    assert!(seen.sets[all..].iter().all(|(_, set)| *set == wanted), "{what}: {:?}", seen.sets);
}

fn stale_for(seen: &Seen) -> Duration {
    let mut total = Duration::ZERO;
    for pair in seen.stale.windows(2) {
        if pair[0].1 {
            total += pair[1].0 - pair[0].0;
        }
    }
    total
}

/// Both replicas hear of a change, and so does the caller.
async fn hears_of_news(cluster: &Cluster, caller: &Caller) {
    cluster.apply_object(&slice("shop", "orders", ips(4))).await;
    caller.until_set(&expected(4)).await;
}

/// One of two is gone: half of all packets are lost, and nobody notices.
#[test]
fn f6_one_replica_is_killed() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        cluster.kill("coredns-0").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        unchanged(&caller.seen.lock().unwrap(), "one killed");
        // The other one goes on telling what is new.
        hears_of_news(&cluster, &caller).await;
        let seen = caller.end().await;
        println!("F6: one replica killed: {} picks, 0 errors, stale for {:?}", seen.picks, stale_for(&seen));
    });
}

#[test]
fn f6_one_replica_hangs() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        cluster.stop("coredns-0");
        tokio::time::sleep(Duration::from_secs(6)).await;
        unchanged(&caller.seen.lock().unwrap(), "one hangs");
        hears_of_news(&cluster, &caller).await;
        cluster.cont("coredns-0");
        let seen = caller.end().await;
        println!("F6: one replica hangs: {} picks, 0 errors, stale for {:?}", seen.picks, stale_for(&seen));
    });
}

/// The set stays and says that it is stale; once CoreDNS answers again it is fresh within one step of the backoff.
#[test]
fn f6_both_replicas_are_killed_and_come_back() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        for name in BOTH {
            cluster.kill(name).await;
        }
        let away = Instant::now();
        caller.until("stale", |upstream| upstream.endpoints().is_stale()).await;
        let noticed = away.elapsed();
        // Until the backoff has reached its maximum.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(caller.upstream.endpoints().is_stale());
        for name in BOTH {
            cluster.start_again(name);
        }
        cluster.dns_answers().await;
        let back = Instant::now();
        caller.until("fresh", |upstream| !upstream.endpoints().is_stale()).await;
        let recovered = back.elapsed();
        unchanged(&caller.seen.lock().unwrap(), "both killed");
        hears_of_news(&cluster, &caller).await;
        let seen = caller.end().await;
        println!(
            "F6: both killed: stale after {noticed:?}, away {:?}, fresh {recovered:?} after the first answer, \
             {} picks, 0 errors",
            back - away,
            seen.picks,
        );
        assert!(recovered <= steady().backoff_max() + QUESTION, "{recovered:?}");
    });
}

/// One after the other is replaced, as a Deployment of CoreDNS with `maxUnavailable: 1` rolls.
#[test]
fn f6_the_replicas_are_rolled() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        for name in [BOTH, BOTH].concat() {
            cluster.kill(name).await;
            // The next pod takes a moment to come.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let lines = cluster.log(name).len();
            cluster.start_again(name);
            let ready = async || cluster.log(name)[lines..].iter().any(|line| line.contains("\" NOERROR"));
            cluster.until(name, ready).await;
        }
        unchanged(&caller.seen.lock().unwrap(), "rolled");
        hears_of_news(&cluster, &caller).await;
        let seen = caller.end().await;
        println!("F6: rolled twice: {} picks, 0 errors, stale for {:?}", seen.picks, stale_for(&seen));
    });
}

/// A CoreDNS that has not heard from the API server yet knows no names, and must not be believed.
#[test]
fn f6_the_replicas_are_not_synced() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        cluster.stop("apiserver");
        let lines: Vec<usize> = BOTH.iter().map(|name| cluster.log(name).len()).collect();
        for name in BOTH {
            cluster.kill(name).await;
            cluster.start_again(name);
        }
        caller.until("stale", |upstream| upstream.endpoints().is_stale()).await;
        // It waits for 5 s before it answers without them.
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
        cluster.until("an answer of one that is not synced", async || !answered().is_empty()).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let codes = answered();
        let why = caller.upstream.explain().to_string();
        assert!(caller.upstream.endpoints().is_stale(), "{why}");
        unchanged(&caller.seen.lock().unwrap(), "not synced");
        cluster.cont("apiserver");
        cluster.dns_answers().await;
        let back = Instant::now();
        caller.until("fresh", |upstream| !upstream.endpoints().is_stale()).await;
        let recovered = back.elapsed();
        unchanged(&caller.seen.lock().unwrap(), "synced");
        hears_of_news(&cluster, &caller).await;
        let seen = caller.end().await;
        println!(
            "F6: not synced: answers {codes:?}, stale for {:?}, fresh {recovered:?} after the first good answer, \
             {} picks, 0 errors",
            stale_for(&seen),
            seen.picks,
        );
    });
}

/// One of two replicas hears nothing of a change: old and new answers come in turns. An address is there as soon as
/// one of them has it, and leaves when none had it for as long as the hold says.
#[test]
fn f10_the_replicas_disagree() {
    on_two_replicas(|cluster| async move {
        let caller = caller(&cluster, steady()).await;
        let replica =
            cluster.slices("kube-system", "kube-dns").await[0].endpoints.as_ref().unwrap()[0].addresses[0].clone();
        let cut_off = [
            cluster.drop_packets(&format!("ip saddr {replica} tcp dport 6443")),
            cluster.drop_packets(&format!("ip daddr {replica} tcp sport 6443")),
        ];
        let begun = Instant::now();
        let asked = cluster.dns_questions().len();
        // One goes, one comes.
        cluster.apply_object(&slice("shop", "orders", ips(4).skip(1))).await;
        caller.until("the new one", |upstream| tests::addrs(&upstream.endpoints()).contains(&expected(4)[3])).await;
        let added = begun.elapsed();
        tokio::time::sleep(Duration::from_secs(8)).await;
        let (disagreed, asked) = (begun.elapsed(), cluster.dns_questions().len() - asked);
        drop(cut_off);
        caller.until_set(&expected(4)[1..]).await;
        let agreed = begun.elapsed();
        // Long enough for a change of mind.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let hold = steady().removal_hold();
        let seen = caller.end().await;
        let sets: Vec<_> = seen.sets.iter().filter(|(at, _)| *at >= begun).collect();
        for addr in expected(4) {
            let mut changes: Vec<(Instant, bool)> = Vec::new();
            let mut there = addr != expected(4)[3];
            for (at, set) in &sets {
                if set.contains(&addr) != there {
                    there = !there;
                    changes.push((*at, there));
                }
            }
            let removals = changes.iter().filter(|(_, there)| !there).count();
            println!(
                "F10: {addr}: {removals} removals, {} additions in {disagreed:?} of {asked} questions",
                changes.len() - removals
            );
            // It leaves no sooner than a hold after it came. The watch tells of both with a small delay.
            let least = hold.mul_f64(0.9);
            let too_soon = changes.windows(2).any(|pair| pair[0].1 && pair[1].0 - pair[0].0 < least);
            assert!(!too_soon, "{addr}: {changes:?}");
            let most = usize::try_from(agreed.as_millis() / hold.as_millis()).unwrap() + 1;
            assert!(removals <= most && changes.len() <= 2 * most, "{addr}: {changes:?}");
        }
        for stays in &expected(4)[1..3] {
            assert!(sets.iter().all(|(_, set)| set.contains(stays)), "{stays}: {sets:?}");
        }
        println!("F10: the new one after {added:?}, agreed {:?} after both knew", agreed - disagreed);
    });
}
