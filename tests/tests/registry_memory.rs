//! The memory that a hostile registry can take. A program of its own, because it reads the peak of the whole process:
//! bodies are decompressed and parsed on other threads.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{io::Write as _, sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver};
use discovery_eureka::EurekaSource;
use discovery_reqwest::Client;
use discovery_testing::FakeDns;
use tests::{addrs, brisk, figure, in_pod};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

const MIB: u64 = 1 << 20;

/// The most memory that this process has held, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Compresses pieces without holding all of them.
fn gzip(pieces: impl Iterator<Item = String>) -> (Vec<u8>, u64) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut plain = 0;
    for piece in pieces {
        encoder.write_all(piece.as_bytes()).unwrap();
        plain += piece.len() as u64;
    }
    (encoder.finish().unwrap(), plain)
}

/// A page of one application `RATES`, whose instances are these, and the figures of its size.
fn page(instances: impl Iterator<Item = String>) -> (Vec<u8>, u64) {
    let start = r#"{"applications":{"apps__hashcode":"","application":[{"name":"RATES","instance":["#.to_owned();
    let instances = instances.enumerate().map(|(at, one)| if at == 0 { one } else { format!(",{one}") });
    gzip(std::iter::once(start).chain(instances).chain(["]}]}}".to_owned()]))
}

/// A record as Spring registers it in a cluster.
fn spring(number: u32) -> String {
    let (ip, noise) = (
        format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
        number.wrapping_mul(2_654_435_761) % 99_991,
    );
    let name = format!("rates-7d9f4c5b8-{noise:05}");
    let (service, host) = (format!("service-{}", number % 200), format!("{name}.rates.shop.svc.cluster.local"));
    format!(
        r#"{{"instanceId":"{name}:{service}:8080","hostName":"{ip}","app":"RATES","ipAddr":"{ip}","status":"UP",
        "overriddenStatus":"UNKNOWN","port":{{"$":8080,"@enabled":"true"}},"securePort":{{"$":443,"@enabled":"false"}},
        "countryId":1,"dataCenterInfo":{{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"}},
        "leaseInfo":{{"renewalIntervalInSecs":30,"durationInSecs":90,"registrationTimestamp":14577149{noise:05},
        "lastRenewalTimestamp":14577161{noise:05},"evictionTimestamp":0,"serviceUpTimestamp":14577149{noise:05}}},
        "metadata":{{"management.port":"8081","zone":"eu-1a","version":"2.1.{}","kubernetes.node":"node-{}","host":"{host}"}},
        "homePageUrl":"http://{ip}:8080/","statusPageUrl":"http://{ip}:8081/actuator/info",
        "healthCheckUrl":"http://{ip}:8081/actuator/health","vipAddress":"{service}","secureVipAddress":"{service}",
        "isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"14577149{noise:05}",
        "lastDirtyTimestamp":"14577149{noise:05}","actionType":"ADDED"}}"#,
        number % 10,
        number % 500,
    )
}

fn tiny(number: u32) -> String {
    format!(r#"{{"instanceId":"{:08x}"}}"#, number.wrapping_mul(2_654_435_761))
}

/// Each body is refused with the name of its limit, what was known stays, and memory grows by less than 200 MiB. A
/// registry of 40 000 instances is within the limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_registry_takes_little_memory() {
    let spaces = std::iter::repeat_n(" ".repeat(1 << 20), 200);
    let (explosion, _) = gzip(std::iter::once("{\"applications\":{}".to_owned()).chain(spaces).chain(["}".to_owned()]));
    let (million, million_plain) = page((0..1_000_000).map(tiny));
    let vips = r#"{"instanceId":"1","vipAddress":""#.to_owned() + &"a,".repeat(1 << 20) + "\"}";
    let (vips, _) = page(std::iter::once(vips));
    let (few, _) = page((0..2).map(spring));
    let (large, large_plain) = page((0..40_000).map(spring));
    figure("gzip of 200 MiB, a million instances, their plain text", (explosion.len(), million.len(), million_plain));
    assert!(explosion.len() < 210_000 && large_plain < 64 * MIB, "{} {large_plain}", explosion.len());

    let server = MockServer::builder().start().await;
    let serve = async |body: &Vec<u8>| {
        server.reset().await;
        let response = ResponseTemplate::new(200).set_body_raw(body.clone(), "application/json");
        let response = response.insert_header("content-encoding", "gzip");
        Mock::given(method("GET")).and(path("/eureka/apps")).respond_with(response).mount(&server).await;
    };
    serve(&few).await;
    let dns = FakeDns::start().await.unwrap();
    let plain = Client::new(Resolver::builder().environment(Environment::empty()).build().unwrap());
    let url = format!("{}/eureka", server.uri());
    let source =
        EurekaSource::builder(&plain, url).disable_delta().fetch_interval(Duration::from_millis(50)).build().unwrap();
    let resolver = in_pod(&dns, "shop").refresh(brisk()).source(Arc::new(source.clone())).build().unwrap();
    let rates = resolver.resolve("http://rates").await.unwrap();
    let known = ["10.0.0.0:8080", "10.0.0.1:8080"];
    assert_eq!(addrs(&rates.endpoints()), known);

    let wait = async |what: &str, is: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if is() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: not within 60 s; {}", rates.explain());
    };
    let before = peak();
    for (body, limit) in
        [(&explosion, "`max_compression_ratio` of 100"), (&million, "`max_instances` of 200000"), (&vips, "`max_")]
    {
        serve(body).await;
        let failed = source.counts().failed;
        wait(limit, &|| source.counts().failed > failed && rates.explain().to_string().contains(limit)).await;
        assert_eq!(addrs(&rates.endpoints()), known, "{limit}");
        let growth = (peak() - before) / MIB;
        figure(&format!("growth in MiB after a body beyond {limit}"), growth);
        assert!(growth < 200, "{growth} MiB");
    }
    serve(&large).await;
    wait("40 000 instances", &|| rates.endpoints().len() == 40_000).await;
    figure("MiB of plain text and growth for 40 000 instances", (large_plain / MIB, (peak() - before) / MIB));
}
