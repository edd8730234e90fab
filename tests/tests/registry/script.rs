//! A scripted registry.

use std::sync::atomic::{AtomicU8, Ordering};

use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path_regex},
};

/// A registry that answers as it is told, and 404 to the rest.
pub(crate) struct Registry {
    server: MockServer,
    told: AtomicU8,
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

/// All of a registry: applications with their records, and the hash.
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
        // Built: the other kind is used again by the next test, and hears what this one still has to say.
        Self { server: MockServer::builder().start().await, told: AtomicU8::new(0) }
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        *self.server.address()
    }

    /// The base, as an application has it.
    pub(crate) fn url(&self) -> String {
        format!("{}/eureka", self.server.uri())
    }

    /// Answers to a method and a path below the base, a regular expression to its end; what was told last counts.
    pub(crate) async fn on(&self, verb: &str, path: &str, answer: ResponseTemplate) {
        self.mount(verb, path, answer, None).await;
    }

    /// The same for so many requests only; after them what was told before.
    pub(crate) async fn next(&self, times: u64, verb: &str, path: &str, answer: ResponseTemplate) {
        self.mount(verb, path, answer, Some(times)).await;
    }

    async fn mount(&self, verb: &str, path: &str, answer: ResponseTemplate, times: Option<u64>) {
        // The lowest that fits answers: later ones go before.
        let later = self.told.fetch_add(1, Ordering::Relaxed);
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

    /// A registry in order: it takes everything, and holds the record of a pod at 127.0.0.1 with this port.
    pub(crate) async fn takes_all(&self, port: u16) {
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

    /// Methods and paths below the base, in their order.
    pub(crate) async fn asked(&self) -> Vec<String> {
        let short =
            |request: &Request| format!("{} {}", request.method, request.url.path().trim_start_matches("/eureka/"));
        self.requests().await.iter().map(short).collect()
    }

    pub(crate) async fn count(&self, begin: &str) -> usize {
        self.asked().await.iter().filter(|asked| asked.starts_with(begin)).count()
    }

    /// Forgets what was asked.
    pub(crate) async fn forget(&self) {
        self.server.reset().await;
    }
}
