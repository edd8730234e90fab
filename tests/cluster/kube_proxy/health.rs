//! What load balancers are told: the answers of the real one's health check ports and ours.

use std::time::Duration;

use super::{
    bench::Bench,
    network::node_ip,
    ours::Ours,
    world::{Kind, NAMESPACE, World},
};

/// Asks every health check port of the world's Services; returns how many said that there is somebody, and how many
/// that there is nobody.
pub(super) async fn compare(bench: &Bench, world: &World) -> (usize, usize) {
    let ours = Ours::read(&bench.cluster, bench.config.clone()).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (mut somebody, mut nobody) = (0, 0);
    for service in world.services.iter().filter(|service| service.kind == Kind::LoadBalancer) {
        let Some(check) = ours.health_check(NAMESPACE, &service.name()) else { continue };
        let real = client.get(format!("http://{}:{}/", node_ip(), check.port)).send().await.unwrap();
        let answer = check.answer(true);
        let (status, headers) = (real.status().as_u16(), real.headers().clone());
        let body: serde_json::Value = serde_json::from_str(&real.text().await.unwrap()).unwrap();
        let told = format!("{}: {status} {headers:?} {body}, ours {answer:?}", service.name());
        assert_eq!(status, answer.status, "{told}");
        assert_eq!(body, serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), "{told}");
        for (name, value) in &answer.headers {
            assert_eq!(headers.get(*name).and_then(|value| value.to_str().ok()), Some(value.as_str()), "{told}");
        }
        *(if status == 200 { &mut somebody } else { &mut nobody }) += 1;
    }
    (somebody, nobody)
}
