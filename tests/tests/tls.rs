//! https: SNI, certificate and `Host` keep the logical name, and one TLS configuration serves all endpoints.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use discovery_reqwest::Client;
use discovery_testing::{FakeDns, Pod, Service};
use discovery_tower::HttpClient;
use http::Request;
use hyper_rustls::HttpsConnectorBuilder;
use rcgen::{CertificateParams, Issuer, KeyPair};
use tests::{error_texts, in_pod};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ClientConfig, RootCertStore, ServerConfig, pki_types::PrivatePkcs8KeyDer},
};

/// The SNI and the `Host` of each request to a pod.
type RequestLog = Arc<Mutex<Vec<(String, String)>>>;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        Self { issuer: Issuer::new(params, key), roots }
    }

    fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Answers each connection to `listener` with one 200.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, log: RequestLog) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, log) = (acceptor.clone(), log.clone());
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            let sni = tls.get_ref().1.server_name().unwrap_or_default().to_owned();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match tls.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            log.lock().unwrap().push((sni, host.to_owned()));
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.shutdown().await;
        });
    }
}

/// Two pods with certificates for `name`, on one port, behind `orders.shop`.
async fn pods(dns: &FakeDns, authority: &Authority, name: &str) -> (u16, BTreeMap<SocketAddr, RequestLog>) {
    let (one, two) = loop {
        let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = SocketAddr::new([127, 0, 0, 2].into(), one.local_addr().unwrap().port());
        if let Ok(two) = TcpListener::bind(addr).await {
            break (one, two);
        }
    };
    let port = one.local_addr().unwrap().port();
    let mut logs = BTreeMap::new();
    let mut service = Service::headless("shop", "orders").port("https", port);
    for listener in [one, two] {
        let addr = listener.local_addr().unwrap();
        service = service.pod(Pod::new(addr.ip()));
        let log = RequestLog::default();
        logs.insert(addr, log.clone());
        tokio::spawn(serve(listener, authority.server(name), log));
    }
    dns.apply(service);
    (port, logs)
}

fn client(dns: &FakeDns, authority: &Authority) -> Client {
    let resolver = in_pod(dns, "shop").policy(discovery_core::policy::RoundRobin::new()).build().unwrap();
    Client::builder(resolver).tls(authority.client()).build().unwrap()
}

#[tokio::test]
async fn sni_certificate_and_host_keep_the_name_of_the_url() {
    let (dns, authority) = (FakeDns::start().await.unwrap(), Authority::new());
    let (port, logs) = pods(&dns, &authority, "orders.shop").await;
    let client = client(&dns, &authority);
    for _ in 0..4 {
        let response = client.get(format!("https://orders.shop:{port}/v1")).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    for log in logs.values() {
        let expected = ("orders.shop".to_owned(), format!("orders.shop:{port}"));
        assert_eq!(*log.lock().unwrap(), [expected.clone(), expected], "two requests to each pod");
    }
}

#[tokio::test]
async fn a_named_port_does_not_show_in_sni_or_host() {
    let (dns, authority) = (FakeDns::start().await.unwrap(), Authority::new());
    let (_, logs) = pods(&dns, &authority, "orders.shop").await;
    let client = client(&dns, &authority);
    let response = client.get("https://_https._tcp.orders.shop/v1").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let all: Vec<_> = logs.values().flat_map(|log| log.lock().unwrap().clone()).collect();
    assert_eq!(all, [("orders.shop".to_owned(), "orders.shop".to_owned())]);
}

#[tokio::test]
async fn refuses_a_certificate_for_another_name() {
    let (dns, authority) = (FakeDns::start().await.unwrap(), Authority::new());
    let (port, logs) = pods(&dns, &authority, "intruder.shop").await;
    let error = client(&dns, &authority).get(format!("https://orders.shop:{port}/")).send().await.unwrap_err();
    let text = error_texts(&error);
    assert!(text.contains("certificate"), "{text}");
    assert!(logs.values().all(|log| log.lock().unwrap().is_empty()), "no request was sent");
}

/// A client of `discovery-tower`.
fn hyper_client(dns: &FakeDns, authority: &Authority, target: &str) -> HttpClient {
    let resolver = in_pod(dns, "shop").policy(discovery_core::policy::RoundRobin::new()).build().unwrap();
    let config = authority.client();
    let builder = HttpClient::builder(resolver.upstream(target).unwrap()).connector(move |endpoint| {
        let tls = HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_only();
        tls.enable_http1().wrap_connector(endpoint)
    });
    builder.build().unwrap()
}

#[tokio::test]
async fn sni_certificate_and_host_of_the_hyper_client_name_the_service() {
    let (dns, authority) = (FakeDns::start().await.unwrap(), Authority::new());
    let (port, logs) = pods(&dns, &authority, "orders.shop").await;
    let client = hyper_client(&dns, &authority, &format!("https://orders.shop:{port}"));
    for _ in 0..4 {
        let response = client.request(Request::get("/v1").body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    for log in logs.values() {
        let expected = ("orders.shop".to_owned(), format!("orders.shop:{port}"));
        assert_eq!(*log.lock().unwrap(), [expected.clone(), expected], "two requests to each pod");
    }

    let by_port_name = hyper_client(&dns, &authority, "https://_https._tcp.orders.shop");
    by_port_name.request(Request::get("/v1").body(String::new()).unwrap()).await.unwrap();
    let expected = ("orders.shop".to_owned(), "orders.shop".to_owned());
    assert!(logs.values().any(|log| log.lock().unwrap().contains(&expected)));
}

#[tokio::test]
async fn the_hyper_client_refuses_a_certificate_for_another_name() {
    let (dns, authority) = (FakeDns::start().await.unwrap(), Authority::new());
    let (port, logs) = pods(&dns, &authority, "intruder.shop").await;
    let client = hyper_client(&dns, &authority, &format!("https://orders.shop:{port}"));
    let error = client.request(Request::get("/").body(String::new()).unwrap()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("certificate") && text.contains("orders.shop"), "{text}");
    assert!(logs.values().all(|log| log.lock().unwrap().is_empty()), "no request was sent");
}
