//! Whatever a registry answers, a lookup does not panic, and yields only endpoints that a request can be sent to.
//!
//! The parser is private, so the body runs end to end: a registry on loopback answers each request with the input.

use std::{cell::RefCell, sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver, context::Families};
use discovery_eureka::EurekaSource;
use discovery_reqwest::Client;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{Addresses, http::Server, text::loggable_lines};

/// A broken answer is asked for again after a pause, for which a case does not wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// What outlives a case: starting it costs more than a fetch.
struct Setup {
    runtime: Runtime,
    server: Server,
    /// The client that fetches.
    client: Client,
}

thread_local! {
    static SETUP: RefCell<Option<Setup>> = const { RefCell::new(None) };
}

pub(crate) fn check(bytes: &[u8]) {
    SETUP.with_borrow_mut(|setup| {
        let setup = setup.get_or_insert_with(Setup::start);
        setup.server.set_input(bytes);
        setup.runtime.block_on(lookups(&setup.client, &setup.server));
    });
}

impl Setup {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = runtime.block_on(Server::start(&|_, input| Some(input.to_vec())));
        let client = runtime.block_on(async { Client::new(resolver(Resolver::builder())) });
        Self { runtime, server, client }
    }
}

async fn lookups(client: &Client, server: &Server) {
    let source = EurekaSource::builder(client, server.url()).disable_delta().build().expect("a valid URL");
    let source = Arc::new(source);
    let resolver = resolver(Resolver::builder().source(source.clone()));
    for (target, addresses) in TARGETS {
        let upstream = resolver.upstream(*target).expect("a valid name");
        let _ = timeout(PATIENCE, upstream.first_answer()).await;
        addresses.check_all(&upstream);
        loggable_lines(&upstream.explain().to_string());
    }
    for instance in source.instances("orders") {
        assert!(instance.port.is_none_or(|port| port.number != 0) && instance.host_name.len() <= 1 << 20);
    }
}

const TARGETS: &[(&str, Addresses)] = &[
    ("http://orders", Addresses::WithPort),
    ("orders:https", Addresses::WithPort),
    ("orders:grpc", Addresses::WithPort),
    ("orders", Addresses::WithPort),
];

/// No name is looked up in DNS: the hosts file has the only host, and the port of the nameserver is closed.
fn resolver(builder: discovery_core::ResolverBuilder) -> Resolver {
    let environment = Environment::empty()
        .with_hosts("10.1.2.3 orders-host\n0.0.0.0 blocked\n")
        .with_env([("DISCOVERY_NAMESERVERS", "127.0.0.1:9"), ("DISCOVERY_DNS_TIMEOUT", "20ms")])
        .with_env([("DISCOVERY_DNS_ATTEMPTS", "1")]);
    builder.environment(environment).families(Families::Both).build().expect("a resolver")
}

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    [
        // Netflix/eureka 1.10, `EurekaJsonJacksonCodec`.
        r#"{"applications":{"versions__delta":"1","apps__hashcode":"UP_1_","application":[{"name":"ORDERS","instance":[{
            "instanceId":"orders-7d9f4-abcde:orders:8080","hostName":"10.42.3.17","app":"ORDERS","ipAddr":"10.42.3.17",
            "status":"UP","overriddenStatus":"UNKNOWN",
            "port":{"$":8080,"@enabled":"true"},"securePort":{"$":8443,"@enabled":"true"},"countryId":1,
            "dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
            "leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90,"registrationTimestamp":1457714988223},
            "metadata":{"@class":"java.util.Collections$EmptyMap","grpc.port":"9090","zone":"a"},
            "homePageUrl":"http://10.42.3.17:8080/","vipAddress":"orders","secureVipAddress":"orders",
            "lastUpdatedTimestamp":"1457714988223","lastDirtyTimestamp":"1457714988172","actionType":"ADDED"}]}]}}"#,
        // XStream: one element without brackets. Two instances, one by its host name.
        r#"{"applications":{"versions__delta":1,"apps__hashcode":"UP_2_","application":{"name":"orders","instance":[
            {"hostName":"orders-host:8081","ipAddr":"","app":"orders","status":"UP","port":8081,"vipAddress":"orders"},
            {"hostName":"[fd00::7]","ipAddr":"::ffff:10.0.0.1","app":"orders","status":"UP","port":{"$":"8082"},
             "metadata":{"grpc.port":"9091"},"vipAddress":"orders,billing"}]}}}"#,
        r#"{"applications":{"application":{"name":"ORDERS","instance":{"hostName":"10.0.0.9","status":"UP"}}}}"#,
        r#"{"applications":{"versions__delta":"-1","apps__hashcode":""}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
