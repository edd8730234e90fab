//! The smallest cluster that still shows a mismatch.

use super::world::{Declared, Endpoint, Kind, World, Written};

/// Takes Services, endpoints and attributes away as long as `shows` says yes, until nothing more can be taken.
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

/// Worlds that are one step smaller; large steps first.
fn candidates(world: &World) -> Vec<World> {
    let mut all = Vec::new();
    let count = world.services.len();
    // Halves, then quarters: fifty Services are gone in a few steps.
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

/// The Service with one thing less.
fn simpler(service: &Declared) -> Vec<Declared> {
    let mut all = Vec::new();
    for at in 0..service.endpoints.len() {
        let mut fewer = service.clone();
        fewer.endpoints.remove(at);
        all.push(fewer);
    }
    let changes: [fn(&mut Declared); 10] = [
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
            one.written = Written::Slices(1);
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

fn changed(service: &Declared, change: impl Fn(&mut Declared)) -> Declared {
    let mut service = service.clone();
    change(&mut service);
    service
}

/// Of forty Services, one shows: by its policy, its source range and one endpoint of another node.
#[tokio::test]
async fn all_that_does_not_matter_is_taken_away() {
    let pods = (1..=6).map(|last| [10, 244, 0, last].into()).collect();
    let mut world = super::generate::Generator::new(3, pods).world(40);
    let shows = |one: &Declared| {
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
    assert!(tried < 200, "{tried}");
}
