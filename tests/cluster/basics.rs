//! The testbed itself: the programs that it starts form a working cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use discovery_core::Resolver;
use nix::sys::signal::Signal;
use tests::addrs;

use crate::{
    harness::{MOUNT_TAG, Options, ProxyMode, on_cluster},
    manifests::{self, Workload},
};

const WEB: Workload<'_> =
    Workload { kind: "Deployment", namespace: "shop", name: "web", replicas: 3, headless: false, options: &[] };

/// Sends `requests` requests, each over a new connection; returns how many each pod answered.
async fn answering(url: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut pods = BTreeMap::new();
    for _ in 0..requests {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        *pods.entry(text.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    pods
}

/// Waits until a virtual address answers. kube-proxy writes its rules up to a second after the slices change; until
/// then the address refuses connections or is unreachable.
async fn first_answer(url: &str) {
    let answered = async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        while client.get(url).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answered = tokio::time::timeout(tests::PATIENCE, answered).await;
    assert!(answered.is_ok(), "{url} did not answer within {:?}", tests::PATIENCE);
}

fn pods_answer_behind_a_virtual_address(proxy: ProxyMode) {
    on_cluster(Options::default().proxy(proxy), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&WEB.manifest()).await;
        let pods = cluster.pods_ready("shop", "web", 3).await;
        cluster.pods_ready("shop", "client", 1).await;
        cluster.ready_endpoints("shop", "web", 3).await;
        // The name is resolved through the virtual address of CoreDNS, and the requests go to the Service's virtual
        // address, both by the rules of kube-proxy.
        let start = Instant::now();
        let answered = cluster
            .in_pod("shop/client", |_| async {
                let url = "http://web.shop.svc.cluster.local/";
                first_answer(url).await;
                let mut all = BTreeSet::new();
                while all.len() < 3 {
                    all.extend(answering(url, 1).await.into_keys());
                }
                all
            })
            .await;
        assert_eq!(answered, pods, "after {:?}", start.elapsed());
    });
}

#[test]
fn pods_answer_behind_a_virtual_address_in_nftables_mode() {
    pods_answer_behind_a_virtual_address(ProxyMode::Nftables);
}

#[test]
fn pods_answer_behind_a_virtual_address_in_iptables_mode() {
    pods_answer_behind_a_virtual_address(ProxyMode::Iptables);
}

/// Two clusters run at the same time, with the same names for different pods.
#[test]
fn two_clusters_share_nothing() {
    let (up, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (up, seen) = (&up, &seen);
    let one = |replicas| {
        on_cluster(Options::default(), move |cluster| async move {
            cluster.apply(&manifests::client("shop")).await;
            let count = usize::try_from(replicas).unwrap();
            cluster.apply(&Workload { replicas, ..WEB }.manifest()).await;
            let pods = cluster.pods_ready("shop", "web", count).await;
            cluster.pods_ready("shop", "client", 1).await;
            cluster.ready_endpoints("shop", "web", count).await;
            up.fetch_add(1, Ordering::Relaxed);
            cluster.until("the other cluster", || async { up.load(Ordering::Relaxed) == 2 }).await;
            let url = "http://web.shop.svc.cluster.local/";
            let answered = cluster.in_pod("shop/client", move |_| async move {
                first_answer(url).await;
                answering(url, 20).await.into_keys().collect::<BTreeSet<_>>()
            });
            let answered = answered.await;
            assert!(answered.is_subset(&pods), "answers from {answered:?}, but this cluster has {pods:?}");
            seen.fetch_add(1, Ordering::Relaxed);
            cluster.until("the other cluster's requests", || async { seen.load(Ordering::Relaxed) == 2 }).await;
        });
    };
    std::thread::scope(|scope| {
        for thread in [scope.spawn(|| one(1)), scope.spawn(|| one(2))] {
            thread.join().unwrap();
        }
    });
}

/// The resolver needs nothing but the environment, the files and the network of a pod.
#[test]
fn resolver_configures_itself_in_a_pod() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&Workload { headless: true, ..WEB }.manifest()).await;
        cluster.pods_ready("shop", "web", 3).await;
        cluster.pods_ready("shop", "client", 1).await;
        cluster.ready_endpoints("shop", "web", 3).await;
        let (found, why) = cluster
            .in_pod("shop/client", |env| async {
                let resolver = Resolver::builder().environment(manifests::environment(env)).build().unwrap();
                let web = resolver.upstream("http://web:8080").unwrap();
                web.ready().await.unwrap();
                tests::until(&web, "three endpoints", |set| set.len() == 3).await;
                (addrs(&web.endpoints()), web.explain().to_string())
            })
            .await;
        assert!(found.iter().all(|addr| addr.starts_with("10.244.") && addr.ends_with(":8080")), "{found:?}");
        assert!(why.contains("web.shop.svc.cluster.local.") && why.contains("dns"), "{why}");
        println!("{why}");
    });
}

/// The controllers, our kubelet and the pods' own drain complete a rolling restart by themselves.
#[test]
fn pods_of_a_stateful_set_keep_their_names_through_a_rolling_restart() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        let web = Workload { kind: "StatefulSet", replicas: 2, headless: true, ..WEB };
        cluster.apply(&web.manifest()).await;
        let names: BTreeSet<String> = ["web-0", "web-1"].map(str::to_owned).into();
        assert_eq!(cluster.pods_ready("shop", "web", 2).await, names);
        let uids = || async {
            let pods = cluster.pods("shop", "web").await;
            pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect::<BTreeSet<String>>()
        };
        let before = uids().await;
        cluster.restart("StatefulSet", "shop", "web").await;
        cluster.until("all pods replaced", || async { uids().await.is_disjoint(&before) }).await;
        assert_eq!(cluster.pods_ready("shop", "web", 2).await, names);
        cluster.pods_ready("shop", "client", 1).await;
        cluster.ready_endpoints("shop", "web", 2).await;
        let file = cluster.exec("shop/client", "cat", &["/etc/resolv.conf"]).await;
        assert!(String::from_utf8_lossy(&file.stdout).contains("search shop.svc.cluster.local"), "{file:?}");
    });
}

/// The process that the next test starts and ends. The variable `DISCOVERY_ENDS` says how it ends.
#[test]
#[ignore = "a helper process of `leaves_nothing_behind_however_the_process_ends`"]
fn process_that_ends_badly() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.pods_ready("shop", "client", 1).await;
        println!("up");
        assert!(std::env::var("DISCOVERY_ENDS").as_deref() != Ok("panic"), "DISCOVERY_ENDS=panic");
        std::future::pending::<()>().await;
    });
}

/// The processes that still see the mounts of the cluster that `process` started. The mounts live as long as any of its
/// processes or namespaces.
fn leftovers(process: u32) -> Vec<String> {
    let tag = format!("{MOUNT_TAG}-{process} ");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let holds = |path: &std::path::Path| {
        std::fs::read_to_string(path.join("mountinfo")).is_ok_and(|mounts| mounts.contains(&tag))
    };
    processes.map(|entry| entry.path()).filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

#[test]
fn leaves_nothing_behind_however_the_process_ends() {
    for ends in ["panic", "SIGINT", "SIGKILL"] {
        // A test that runs in the background ignores SIGINT, and its children would inherit that.
        let mut child = Command::new("env")
            .arg("--default-signal=INT")
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "basics::process_that_ends_badly", "--nocapture"])
            .env("DISCOVERY_ENDS", ends)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(line) = lines.by_ref().map_while(Result::ok).find(|line| line == "up" || line.contains("... ok"))
        else {
            panic!("the cluster did not start: {:?}", child.wait());
        };
        if line != "up" {
            // The test was skipped: this machine cannot run clusters.
            child.wait().unwrap();
            return;
        }
        let process = child.id();
        match ends {
            "panic" => assert!(lines.map_while(Result::ok).any(|line| line.contains("FAILED"))),
            signal => {
                assert!(leftovers(process).len() > 5, "{:?}", leftovers(process));
                let pid = nix::unistd::Pid::from_raw(i32::try_from(process).unwrap());
                let signal = if signal == "SIGINT" { Signal::SIGINT } else { Signal::SIGKILL };
                nix::sys::signal::kill(pid, signal).unwrap();
            }
        }
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
                panic!("{ends} did not end the process: {:?}", child.wait());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        while !leftovers(process).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(20), "left after {ends}: {:?}", leftovers(process));
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{ends}: nothing left after {:?}", start.elapsed());
    }
}
