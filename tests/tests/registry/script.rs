//! A scripted Eureka server.

use std::sync::atomic::{AtomicU8, Ordering};

use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path_regex},
};

/// A registry that answers as the test scripts it, and 404 to everything else.
pub(crate) struct Registry {
    server: MockServer,
    scripted: AtomicU8,
}

/// A record of 127.0.0.1 with this id, port and status.
pub(crate) fn record(app: &str, id: &str, port: u16, status: &str) -> String {
    format!(
        r#"{{"instanceId":"{id}","hostName":"127.0.0.1","app":"{app}","ipAddr":"127.0.0.1","status":"{status}",
        "port":{{"$":{port},"@enabled":"true"}},"securePort":{{"$":443,"@enabled":"false"}},
        "vipAddress":"{}","metadata":{{"@class":"java.util.Collections$EmptyMap"}},"actionType":"ADDED"}}"#,
        app.to_lowercase()
    )
}

/// The answer with the whole registry: applications with their records, and the hash.
pub(crate) fn page(hash: &str, apps: &[(&str, &[String])]) -> String {
    let apps: Vec<_> = apps
        .iter()
        .map(|(name, records)| format!(r#"{{"name":"{name}","instance":[{}]}}"#, records.join(",")))
        .collect();
    format!(
        r#"{{"applications":{{"versions__delta":"1","apps__hashcode":"{hash}","application":[{}]}}}}"#,
        apps.join(",")
    )
}

pub(crate) fn json(body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "application/json")
}

pub(crate) fn status(code: u16) -> ResponseTemplate {
    ResponseTemplate::new(code)
}

impl Registry {
    pub(crate) async fn start() -> Self {
        // `MockServer::start` would take a pooled server, which the next test reuses while late requests still arrive.
        Self { server: MockServer::builder().start().await, scripted: AtomicU8::new(0) }
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        *self.server.address()
    }

    /// The base URL, as an application configures it.
    pub(crate) fn url(&self) -> String {
        format!("{}/eureka", self.server.uri())
    }

    /// Scripts the answer to a method and a path below the base, a regular expression up to its end. The last script
    /// wins.
    pub(crate) async fn on(&self, verb: &str, path: &str, answer: ResponseTemplate) {
        self.mount(verb, path, answer, None).await;
    }

    /// The same for this many requests only; afterwards the earlier scripts apply.
    pub(crate) async fn next(&self, times: u64, verb: &str, path: &str, answer: ResponseTemplate) {
        self.mount(verb, path, answer, Some(times)).await;
    }

    async fn mount(&self, verb: &str, path: &str, answer: ResponseTemplate, times: Option<u64>) {
        // The matching mock with the lowest number answers, so that later scripts win.
        let later = self.scripted.fetch_add(1, Ordering::Relaxed);
        let mock = Mock::given(method(verb))
            .and(path_regex(format!("^/eureka/{path}$")))
            .respond_with(answer)
            .with_priority(250 - later);
        let mock = match times {
            Some(times) => mock.up_to_n_times(times),
            None => mock,
        };
        mock.mount(&self.server).await;
    }

    /// Scripts a healthy registry: it accepts everything, and holds the record of a pod at 127.0.0.1 with this port.
    pub(crate) async fn accepts_all(&self, port: u16) {
        self.on("POST", "apps/[^/]+", status(204)).await;
        for verb in ["PUT", "DELETE"] {
            self.on(verb, "apps/.+", status(200)).await;
        }
        let held = format!(r#"{{"instance":{}}}"#, record("RATES", "any", port, "UP"));
        self.on("GET", "apps/[^/]+/.+", json(held)).await;
    }

    pub(crate) async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    /// The methods and the paths below the base, in the order of the requests.
    pub(crate) async fn asked(&self) -> Vec<String> {
        let short =
            |request: &Request| format!("{} {}", request.method, request.url.path().trim_start_matches("/eureka/"));
        self.requests().await.iter().map(short).collect()
    }

    pub(crate) async fn count(&self, begin: &str) -> usize {
        self.asked().await.iter().filter(|asked| asked.starts_with(begin)).count()
    }

    /// Forgets the requests and the scripts.
    pub(crate) async fn forget(&self) {
        self.server.reset().await;
    }
}
