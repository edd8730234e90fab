//! Proxies of the environment are for hosts: Services are reached without.

use std::process::Command;

use discovery_reqwest::{Client, Error};
use discovery_testing::{FakePod, Rule};

use super::reqwest::{World, header, texts, within};

/// The variables are those of a process: each part of the test is one of its own.
fn in_process(test: &str, proxy: &FakePod) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("HTTP_PROXY", format!("http://{}", proxy.addr()))
        .env("NO_PROXY", "direct.example.com")
        .env_remove("ALL_PROXY")
        .env_remove("http_proxy")
        .env_remove("no_proxy")
        .env_remove("REQUEST_METHOD")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_reached_without_the_proxy_and_hosts_through_it() {
    // Any HTTP server is a proxy to somebody who only looks at who has answered.
    let proxy = FakePod::start("proxy").await.unwrap();
    tokio::task::block_in_place(|| in_process("proxies::with_a_proxy", &proxy));
    let through = proxy.requests();
    assert_eq!(through, 6, "as many as the child says");

    tokio::task::block_in_place(|| in_process("proxies::with_a_proxy_that_is_switched_off", &proxy));
    assert_eq!(proxy.requests(), through);
}

async fn answered(client: &Client, url: &str) -> Result<String, Error> {
    let response = within("an answer", client.get(url).send()).await?;
    Ok(header(&response, "x-pod").to_owned())
}

/// `example.com` is in DNS, and so is the pod that it leads to.
async fn world() -> (World, FakePod) {
    let world = World::new(2).await;
    let outside = FakePod::start("outside").await.unwrap();
    for host in ["www.example.com", "direct.example.com"] {
        world.cluster.dns().record(host, outside.ip());
    }
    (world, outside)
}

#[tokio::test]
#[ignore = "run by the test above, in an environment of its own"]
async fn with_a_proxy() {
    let (world, outside) = world().await;
    let (client, port) = (Client::new(world.resolver().build().unwrap()), world.service.port());
    for service in ["orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local"] {
        let pod = answered(&client, &format!("http://{service}:{port}/")).await.unwrap();
        assert!(pod.starts_with("orders-"), "{service}: {pod}");
    }
    let out = outside.addr().port();
    assert_eq!(answered(&client, &format!("http://direct.example.com:{out}/")).await.unwrap(), "outside", "NO_PROXY");
    // 1, 2: known to our DNS; 3: not known to it, as where only the proxy can resolve; 4: no question is asked of it.
    for host in ["www.example.com", "www.example.com", "shop.example.com", "a.b.example.com"] {
        assert_eq!(answered(&client, &format!("http://{host}:{out}/")).await.unwrap(), "proxy", "{host}");
    }
    let dns = world.cluster.dns();
    assert!(dns.questions().iter().all(|asked| !asked.name.contains("a.b.example")), "{:?}", dns.questions());
    assert_eq!(answered(&client, &format!("http://{}/", outside.addr())).await.unwrap(), "proxy", "5: an address");

    // A Service that is not found is no business of the proxy's; what may be a host is.
    dns.script(Rule::any().servfail());
    let error = answered(&client, "http://nobody.shop.svc/").await.unwrap_err();
    assert!(error.as_discovery().is_some(), "{}", texts(&error));
    assert_eq!(answered(&client, "http://other.example.com/").await.unwrap(), "proxy", "6: DNS is away");
    // What was a Service stays one.
    assert!(answered(&client, &world.url()).await.unwrap().starts_with("orders-"));
}

#[tokio::test]
#[ignore = "run by the test above, in an environment of its own"]
async fn with_a_proxy_that_is_switched_off() {
    let (world, outside) = world().await;
    let client = world.builder().build().unwrap();
    let url = format!("http://www.example.com:{}/", outside.addr().port());
    assert_eq!(answered(&client, &url).await.unwrap(), "outside");
}
