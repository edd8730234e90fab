//! The shortest path: a Service's name leads to its pods.

use discovery_testing::FakeCluster;
use tests::{addrs, in_cluster};

#[tokio::test]
async fn resolves_a_service_name_to_its_pods() {
    let cluster = FakeCluster::start().await.unwrap();
    let service = cluster.service("shop", "orders").replicas(3).start().await.unwrap();
    let resolver = in_cluster(&cluster, "shop");
    let orders = resolver.resolve(format!("http://orders:{}", service.port()).as_str()).await.unwrap();
    let mut pods: Vec<_> = service.pods().iter().map(|pod| pod.addr()).collect();
    pods.sort();
    assert_eq!(addrs(&orders.endpoints()), pods.iter().map(ToString::to_string).collect::<Vec<_>>());
    println!("{}", orders.explain());
}
