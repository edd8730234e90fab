//! Health check ports for load balancers: kube-proxy's answers and our core's.

use std::time::Duration;

use super::{
    bench::Bench,
    network::node_ip,
    ours::Ours,
    world::{Kind, NAMESPACE, World},
};

/// Queries every health check port of the world's Services and asserts that the answers agree. Returns how many
/// reported local endpoints, and how many reported none.
pub(super) async fn compare(bench: &Bench, world: &World) -> (usize, usize) {
    let ours = Ours::read(&bench.cluster, bench.config.clone()).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (mut healthy, mut unhealthy) = (0, 0);
    for service in world.services.iter().filter(|service| service.kind == Kind::LoadBalancer) {
        let Some(check) = ours.health_check(NAMESPACE, &service.name()) else { continue };
        let real = client.get(format!("http://{}:{}/", node_ip(), check.port)).send().await.unwrap();
        let answer = check.answer(true);
        let (status, headers) = (real.status().as_u16(), real.headers().clone());
        let body: serde_json::Value = serde_json::from_str(&real.text().await.unwrap()).unwrap();
        let both = format!("{}: kube-proxy {status} {headers:?} {body}, our core {answer:?}", service.name());
        assert_eq!(status, answer.status, "{both}");
        assert_eq!(body, serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), "{both}");
        for (name, value) in &answer.headers {
            assert_eq!(headers.get(*name).and_then(|value| value.to_str().ok()), Some(value.as_str()), "{both}");
        }
        *(if status == 200 { &mut healthy } else { &mut unhealthy }) += 1;
    }
    (healthy, unhealthy)
}
