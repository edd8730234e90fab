//! Requests to Services bypass the proxies of the environment; requests to hosts use them.

use std::process::Command;

use discovery_reqwest::{Client, Error};
use discovery_testing::{FakePod, Rule};
use tests::error_texts;

use crate::support::client::{ClientWorld, header, within};

/// Runs a test in a process of its own, since the variables belong to the process.
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
    let output = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_bypass_the_proxy_and_hosts_use_it() {
    // Any HTTP server will do as the proxy: the test only looks at which server answers.
    let proxy = FakePod::start("proxy").await.unwrap();
    tokio::task::block_in_place(|| in_process("names::proxies::child_with_a_proxy", &proxy));
    let through = proxy.requests();
    assert_eq!(through, 7, "the requests that the child counts");

    tokio::task::block_in_place(|| in_process("names::proxies::child_with_the_proxy_disabled", &proxy));
    assert_eq!(proxy.requests(), through);
}

async fn answered(client: &Client, url: &str) -> Result<String, Error> {
    let response = within("an answer", client.get(url).send()).await?;
    Ok(header(&response, "x-pod").to_owned())
}

/// `www.example.com` and `direct.example.com` are in DNS and lead to a pod outside the cluster.
async fn world_with_a_host() -> (ClientWorld, FakePod) {
    let world = ClientWorld::new(2).await;
    let outside = FakePod::start("outside").await.unwrap();
    for host in ["www.example.com", "direct.example.com"] {
        world.cluster.dns().record(host, outside.ip());
    }
    (world, outside)
}

#[tokio::test]
#[ignore = "run by the test above, in a process with its own environment"]
async fn child_with_a_proxy() {
    let (world, outside) = world_with_a_host().await;
    let (client, port) = (Client::new(world.resolver().build().unwrap()), world.service.port());
    for service in ["orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local"] {
        let pod = answered(&client, &format!("http://{service}:{port}/")).await.unwrap();
        assert!(pod.starts_with("orders-"), "{service}: {pod}");
    }
    let out = outside.addr().port();
    assert_eq!(answered(&client, &format!("http://direct.example.com:{out}/")).await.unwrap(), "outside", "NO_PROXY");
    // 1, 2: our DNS knows the host. 3: only the proxy could resolve it. 4: the client sends no DNS query for it.
    for host in ["www.example.com", "www.example.com", "shop.example.com", "a.b.example.com"] {
        assert_eq!(answered(&client, &format!("http://{host}:{out}/")).await.unwrap(), "proxy", "{host}");
    }
    let dns = world.cluster.dns();
    assert!(dns.questions().iter().all(|asked| !asked.name.contains("a.b.example")), "{:?}", dns.questions());
    assert_eq!(answered(&client, &format!("http://{}/", outside.addr())).await.unwrap(), "proxy", "5: an address");

    // The cluster denies the name, so it is a host, although the query for the host fails.
    dns.script(Rule::any().name("only.example.com").servfail());
    assert_eq!(answered(&client, "http://only.example.com/").await.unwrap(), "proxy", "6: DNS knows no host");

    // A Service that exists without endpoints is not a host.
    dns.script(Rule::any().name("idle.other.svc.cluster.local").nodata());
    let client = Client::builder(world.resolver().build().unwrap());
    let client = client.endpoint_timeout(std::time::Duration::from_millis(300)).build().unwrap();
    let error = answered(&client, "http://idle.other/").await.unwrap_err();
    assert!(error.as_discovery().is_some(), "{}", error_texts(&error));
    assert!(answered(&client, &world.url()).await.unwrap().starts_with("orders-"));

    // While DNS fails, nothing is known of a name: the proxy gets neither the request nor its credentials.
    let rule = dns.script(Rule::any().servfail());
    for (down, name) in [("servfail", "other.example.com"), ("servfail", "billing.other"), ("silent", "rates.other")] {
        if down == "silent" {
            dns.remove_rule(rule);
            dns.script(Rule::any().drop());
        }
        let request = client.get(format!("http://{name}/")).bearer_auth("secret");
        let error = within("an error", request.send()).await.unwrap_err();
        assert!(error.as_discovery().is_some(), "{}", error_texts(&error));
        assert!(error.to_string().contains(name) && error.to_string().contains("not sent to the proxy"), "{error}");
    }
    assert_eq!(answered(&client, "http://host.example./").await.unwrap(), "proxy", "7: a final dot says so");
    assert!(answered(&client, "http://nobody.shop.svc/").await.unwrap_err().as_discovery().is_some());
    // A name that was a Service stays one.
    assert!(answered(&client, &world.url()).await.unwrap().starts_with("orders-"));
}

#[tokio::test]
#[ignore = "run by the test above, in a process with its own environment"]
async fn child_with_the_proxy_disabled() {
    let (world, outside) = world_with_a_host().await;
    let client = world.builder().build().unwrap();
    let url = format!("http://www.example.com:{}/", outside.addr().port());
    assert_eq!(answered(&client, &url).await.unwrap(), "outside");
}
