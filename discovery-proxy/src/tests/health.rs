//! Health checks and counters. Upstream: TestServer, TestHealthCheckNodePort, TestNoEndpointsMetric.

use super::world::*;
use crate::{HealthCheck, NamespacedName, NoLocalEndpoints, object::*};

fn checked() -> Service {
    Service { external_traffic_policy: TrafficPolicy::Local, health_check_node_port: 30_100, ..exposed() }
}

fn check(world: &World) -> Option<HealthCheck> {
    world.proxy.snapshot().health_check(&NamespacedName::new("default", "web")).cloned()
}

#[test]
fn health_check_succeeds_with_a_ready_local_endpoint_and_a_healthy_proxy() {
    let world = World::new(iptables()).service(&checked()).slice(&slice([local("10.244.1.1"), pod("10.244.2.1")]));
    let check = check(&world).unwrap();
    assert_eq!((check.port, check.local_endpoints), (30_100, 1));
    let answer = check.answer(true);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"service":{"namespace":"default","name":"web"},"localEndpoints":1,"serviceProxyHealthy":true}"#
    );
    assert_eq!(answer.headers[0], ("Content-Type", "application/json".to_owned()));
    assert_eq!(answer.headers[1], ("X-Content-Type-Options", "nosniff".to_owned()));
    assert_eq!(answer.headers[2], ("X-Load-Balancing-Endpoint-Weight", "1".to_owned()));
    assert_eq!(check.answer(false).status, 503);
}

#[test]
fn health_check_ignores_terminating_endpoints() {
    let world =
        World::new(iptables()).service(&checked()).slice(&slice([closing(local("10.244.1.1")), pod("10.244.2.1")]));
    let check = check(&world).unwrap();
    assert_eq!((check.local_endpoints, check.answer(true).status), (0, 503));
}

#[test]
fn health_check_counts_a_pod_once() {
    let ports =
        [8080, 8081].map(|port| SlicePort { name: Some(port.to_string()), port: Some(port), ..Default::default() });
    let world = World::new(iptables())
        .service(&checked())
        .slice(&EndpointSlice { ports: ports.into(), ..slice([local("10.244.1.1")]) });
    assert_eq!(check(&world).unwrap().local_endpoints, 1);
}

#[test]
fn health_check_is_removed_without_policy_local() {
    let mut world = World::new(iptables()).service(&checked());
    assert_eq!(world.proxy.snapshot().health_checks().count(), 1);
    world.proxy.apply_service(&Service { external_traffic_policy: TrafficPolicy::Cluster, ..checked() });
    assert!(world.sync().published);
    assert_eq!(check(&world), None);
}

#[test]
fn changed_endpoint_count_is_published() {
    let mut world = World::new(iptables()).service(&checked()).slice(&slice([local("10.244.1.1")]));
    world.proxy.apply_endpoint_slice(&slice([local("10.244.1.1"), local("10.244.1.2")]));
    assert!(world.sync().published);
    assert_eq!(check(&world).unwrap().local_endpoints, 2);
}

fn counted(world: &World) -> (u64, u64) {
    let NoLocalEndpoints { internal, external } = world.proxy.snapshot().no_local_endpoints();
    (internal, external)
}

#[test]
fn counts_services_without_local_endpoints() {
    let both = Service { internal_traffic_policy: TrafficPolicy::Local, ..checked() };
    let mut world = World::new(iptables()).service(&both);
    assert_eq!(counted(&world), (0, 0), "no endpoints at all");
    world = world.slice(&slice(pods(1)));
    assert_eq!(counted(&world), (1, 1));
    world = world.service(&checked());
    assert_eq!(counted(&world), (0, 1));
    world = world.slice(&slice([local("10.244.1.1"), pod("10.244.2.1")]));
    assert_eq!(counted(&world), (0, 0));
    world = world.slice(&slice(pods(1)));
    world.proxy.delete_service(&NamespacedName::new("default", "web"));
    world.sync();
    assert_eq!(counted(&world), (0, 0));
}
