//! Reduces a cluster to the smallest one that still shows a mismatch.

use super::world::{Endpoint, EndpointObjects, Kind, ProxiedService, World};

/// Removes Services, endpoints and attributes while `shows` returns true, until nothing more can be removed.
pub(super) async fn shrink(mut world: World, mut shows: impl AsyncFnMut(&World) -> bool) -> World {
    loop {
        let mut smaller = None;
        for candidate in candidates(&world) {
            if shows(&candidate).await {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(smaller) => world = smaller,
            None => return world,
        }
    }
}

/// All worlds that are one step smaller, large steps first.
fn candidates(world: &World) -> Vec<World> {
    let mut all = Vec::new();
    let count = world.services.len();
    // Halves first, then quarters and so on, so that fifty Services take only a few steps.
    let mut size = count / 2;
    while size > 0 {
        for start in (0..count).step_by(size) {
            let mut services = world.services.clone();
            services.drain(start..(start + size).min(count));
            all.push(World { services });
        }
        size /= 2;
    }
    if let [service] = world.services.as_slice() {
        all.extend(simpler(service).into_iter().map(|service| World { services: vec![service] }));
    }
    all
}

/// All variants of the Service with one thing removed.
fn simpler(service: &ProxiedService) -> Vec<ProxiedService> {
    let mut all = Vec::new();
    for at in 0..service.endpoints.len() {
        let mut fewer = service.clone();
        fewer.endpoints.remove(at);
        all.push(fewer);
    }
    let changes: [fn(&mut ProxiedService); 10] = [
        |one| one.ports.truncate(1),
        |one| drop(one.ports.drain(..one.ports.len() - 1)),
        |one| one.external_ip = false,
        |one| one.external_local = false,
        |one| one.internal_local = false,
        |one| one.affinity = None,
        |one| one.source_ranges.truncate(one.source_ranges.len().saturating_sub(1)),
        |one| one.ip_mode = None,
        |one| one.kind = if one.kind == Kind::LoadBalancer { Kind::NodePort } else { Kind::ClusterIp },
        |one| {
            one.endpoint_objects = EndpointObjects::Slices(1);
            one.endpoints.iter_mut().for_each(|endpoint| endpoint.slice = 0);
        },
    ];
    all.extend(changes.map(|change| changed(service, change)));
    for at in 0..service.endpoints.len() {
        let changes: [fn(&mut Endpoint); 6] = [
            |one| one.ready = None,
            |one| one.serving = None,
            |one| one.terminating = None,
            |one| one.node = None,
            |one| one.zones.clear(),
            |one| one.nodes.clear(),
        ];
        all.extend(changes.map(|change| changed(service, |one| change(&mut one.endpoints[at]))));
    }
    all.retain(|one| one != service);
    all
}

fn changed(service: &ProxiedService, change: impl Fn(&mut ProxiedService)) -> ProxiedService {
    let mut service = service.clone();
    change(&mut service);
    service
}

/// The condition needs one of forty Services, and of that one only its policy, a source range and an endpoint on
/// another node. Everything else is removed.
#[tokio::test]
async fn shrinking_removes_everything_that_does_not_matter() {
    let pods = (1..=6).map(|last| [10, 244, 0, last].into()).collect();
    let mut world = super::generate::Generator::new(3, pods).world(40);
    let shows = |one: &ProxiedService| {
        one.external_local
            && !one.source_ranges.is_empty()
            && one.endpoints.iter().any(|endpoint| endpoint.node == Some("node1"))
    };
    assert!(world.services.iter().any(shows));
    let mut tried = 0;
    world = shrink(world, async |world| {
        tried += 1;
        world.services.iter().any(shows)
    })
    .await;
    let [one] = world.services.as_slice() else { panic!("{world:?}") };
    let [endpoint] = one.endpoints.as_slice() else { panic!("{one:?}") };
    assert_eq!(*endpoint, Endpoint { node: Some("node1"), ..Endpoint::at(endpoint.ip) });
    assert!(shows(one) && one.source_ranges.len() == 1, "{one:?}");
    assert!(one.kind == Kind::ClusterIp && !one.external_ip && !one.internal_local && one.affinity.is_none());
    assert!(tried < 200, "{tried} candidates were tried");
}
