//! What a Service that its author should not have been allowed to write can do.

use discovery_core::policy::SplitMix64;

use super::world::*;
use crate::{Config, Flow, Mode, Proxier, object::*};

fn far() -> EndpointSlice {
    slice([pod("10.244.2.1")])
}

/// kube-proxy skips such ranges, and admits everyone without saying so.
#[test]
fn source_ranges_that_cannot_be_used_are_reported_and_admit_no_one_on_demand() {
    for ranges in [&["203.0.113.0/33"][..], &["2001:db8::/32"], &["nonsense", "::/0"]] {
        let ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
        let service = Service { load_balancer_source_ranges: ranges.clone(), ..exposed() };
        for mode in all_modes().into_iter().skip(1) {
            for strict in [false, true] {
                let config = Config::new(IpFamily::V4, mode.clone()).with_strict_source_ranges(strict);
                let mut proxy = Proxier::new(config);
                proxy.apply_service(&service);
                proxy.apply_endpoint_slice(&far());
                let changes = proxy.sync(epoch(), &mut SplitMix64::with_seed(1));
                let [warning] = changes.warnings.as_slice() else { panic!("{:?}", changes.warnings) };
                assert!(warning.contains(&ranges[0]) && warning.contains("loadBalancerSourceRanges"), "{warning}");
                let flow = Flow::tcp(OUTSIDE.parse().unwrap(), LOAD_BALANCER.parse().unwrap());
                let verdict = changes.snapshot.decide(&flow, epoch(), &mut SplitMix64::with_seed(1));
                assert_eq!(outcome(&verdict) == "drop", strict, "{mode:?} {ranges:?}");
                assert!(proxy.sync(epoch(), &mut SplitMix64::with_seed(1)).warnings.is_empty(), "said once");
            }
        }
    }
    let mut usable = Proxier::new(Config::new(IpFamily::V4, Mode::Nftables).with_strict_source_ranges(true));
    usable.apply_service(&Service {
        load_balancer_source_ranges: vec!["nonsense".into(), "203.0.113.0/24".into()],
        ..exposed()
    });
    assert!(usable.sync(epoch(), &mut SplitMix64::with_seed(1)).warnings.is_empty());
}

/// CVE-2020-8554. The attacker's Service has the smaller name, and comes first or last.
#[test]
fn an_external_ip_does_not_take_the_cluster_ip_of_another_service() {
    let victim = service();
    let attacker = |ips: &[&str]| Service {
        namespace: "a".into(),
        name: "a".into(),
        cluster_ip: "10.96.0.99".into(),
        cluster_ips: vec!["10.96.0.99".into()],
        external_ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
        ..service()
    };
    let owner = |proxy: &mut Proxier| {
        let changes = proxy.sync(epoch(), &mut SplitMix64::with_seed(1));
        let flow = Flow::tcp(OUTSIDE.parse().unwrap(), CLUSTER_IP.parse().unwrap());
        let verdict = changes.snapshot.decide(&flow, epoch(), &mut SplitMix64::with_seed(1));
        verdict.matched().map(|matched| matched.service_port().clone())
    };
    let victims_ip = victim.cluster_ip.clone();
    let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Nftables));
    proxy.apply_service(&victim);
    let name = owner(&mut proxy);
    proxy.apply_service(&attacker(&[&victims_ip]));
    assert_eq!(owner(&mut proxy), name, "the attacker comes last");
    let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Nftables));
    proxy.apply_service(&attacker(&[&victims_ip]));
    owner(&mut proxy);
    proxy.apply_service(&victim);
    assert_eq!(owner(&mut proxy), name, "the attacker comes first");
    // The victim's Service takes another cluster IP, and keeps this one as an external IP: the names decide.
    proxy.apply_service(&Service {
        cluster_ip: "10.96.0.98".into(),
        cluster_ips: vec!["10.96.0.98".into()],
        external_ips: vec![victims_ip],
        ..victim
    });
    assert_ne!(owner(&mut proxy), name);
}
