//! Java processes. Each reads from a pipe that only the test can write to, but never does. However the test ends, the
//! pipe closes and the process exits.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The port of every registry; each has its own address.
const PORT: u16 = 8761;

/// The port of the Java application.
const CONSUMER_PORT: u16 = 8080;

/// Spring Cloud's Eureka server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Java,
    pub(crate) addr: SocketAddr,
}

/// A Java application with Netflix's Eureka client.
#[derive(Debug)]
pub(crate) struct Consumer {
    process: Java,
    addr: SocketAddr,
}

impl Server {
    /// Starts a server at `ip`. With a peer, the two register with each other and replicate.
    pub(crate) async fn start(programs: &Path, ip: Ipv4Addr, peer: Option<Ipv4Addr>) -> Self {
        let url = format!("http://{}:{PORT}/eureka/", peer.unwrap_or(ip));
        let settings = [
            format!("--server.address={ip}"),
            format!("--server.port={PORT}"),
            // The server recognizes its own URL by this name.
            format!("--eureka.instance.hostname={ip}"),
            format!("--eureka.client.service-url.defaultZone={url}"),
            format!("--eureka.client.register-with-eureka={}", peer.is_some()),
            format!("--eureka.client.fetch-registry={}", peer.is_some()),
        ];
        let process = Java::start(programs, "registry.Server", &settings, &format!("server-{ip}"));
        Self { process, addr: (ip, PORT).into() }
    }

    /// Waits until the registry answers, which is later than its port opens.
    pub(crate) async fn ready(&mut self) {
        self.process.until(&format!("http://{}/eureka/apps", self.addr)).await;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/eureka", self.addr)
    }

    /// Kills the server and waits for it to end.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Closes the pipe that the process reads from, as the end of the test does, and waits for the process to exit.
    pub(crate) async fn leave(mut self) {
        drop(self.process.child.stdin.take());
        let child = &mut self.process.child;
        let ended = async {
            while child.try_wait().unwrap().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        super::world::within("the Java process exits", ended).await;
    }

    /// The instance ids of an application.
    pub(crate) async fn ids(&self, app: &str) -> Vec<String> {
        let url = format!("{}/apps/{app}", self.url());
        let sent = reqwest::Client::new().get(url).header("Accept", "application/json").send().await;
        let Ok(response) = sent else { return Vec::new() };
        let body = response.bytes().await.unwrap_or_default();
        let all: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let instances = all["application"]["instance"].as_array().cloned().unwrap_or_default();
        instances.iter().filter_map(|instance| Some(instance["instanceId"].as_str()?.to_owned())).collect()
    }

    /// The server's record of an instance, which is not cached; `None` if the server answers 404.
    pub(crate) async fn instance(&self, app: &str, id: &str) -> Option<serde_json::Value> {
        let mut url = url::Url::parse(&self.url()).unwrap();
        url.path_segments_mut().unwrap().extend(["apps", app, id]);
        let response = reqwest::Client::new().get(url).header("Accept", "application/json").send().await.ok()?;
        let body = response.status().is_success().then(|| response.bytes())?.await.ok()?;
        let mut record: serde_json::Value = serde_json::from_slice(&body).ok()?;
        Some(record["instance"].take())
    }
}

impl Consumer {
    /// Starts the application at `ip`, where it registers itself as `java-shop`.
    pub(crate) async fn start(programs: &Path, ip: Ipv4Addr, registry: &str) -> Self {
        let settings = [
            format!("--server.address={ip}"),
            format!("--server.port={CONSUMER_PORT}"),
            format!("--eureka.instance.ip-address={ip}"),
            format!("--eureka.client.service-url.defaultZone={registry}/"),
        ];
        let process = Java::start(programs, "registry.Consumer", &settings, &format!("consumer-{ip}"));
        let mut consumer = Self { process, addr: (ip, CONSUMER_PORT).into() };
        consumer.process.until(&format!("http://{}/hello", consumer.addr)).await;
        consumer
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The instances of a VIP that its Eureka client knows, one on each line.
    pub(crate) async fn instances(&self, vip: &str) -> String {
        self.get("/instances", &[("vip", vip)]).await.1
    }

    /// Calls an instance of a VIP; returns status and body.
    pub(crate) async fn call(&self, vip: &str, path: &str) -> (u16, String) {
        self.get("/call", &[("vip", vip), ("path", path)]).await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, String) {
        let mut url = url::Url::parse(&format!("http://{}{path}", self.addr)).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let response = reqwest::Client::new().get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

#[derive(Debug)]
struct Java {
    child: Child,
    log: PathBuf,
}

impl Java {
    fn start(programs: &Path, main: &str, settings: &[String], name: &str) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let child = Command::new("java")
            // These options halve the start-up time of a process that lives for seconds.
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Xshare:auto", "-cp"])
            .arg(format!("{0}/classes:{0}/lib/*", programs.display()))
            .arg(main)
            .args(settings)
            // The pipe closes when the test process ends.
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until `url` answers with success.
    async fn until(&mut self, url: &str) {
        let client = reqwest::Client::new();
        let log = self.log.clone();
        let log = || std::fs::read_to_string(&log).unwrap_or_default();
        let answered = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    panic!("the Java process of {url} exited with {status}:\n{}", log());
                }
                let sent = client.get(url).header("Accept", "application/json").send().await;
                if sent.is_ok_and(|response| response.status().is_success()) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(super::world::PATIENCE, answered).await.is_err() {
            panic!("{url} did not answer within {:?}:\n{}", super::world::PATIENCE, log());
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // Both fail if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
