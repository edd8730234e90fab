//! Balance HTTPS requests over pods whose certificates name the Service: `cargo run -p examples --bin reqwest_https`.

use std::{collections::BTreeMap, convert::Infallible, error::Error, sync::Arc};

use bytes::Bytes;
use discovery_reqwest::{Client, Environment, Resolver};
use discovery_testing::{FakeDns, Pod, Service};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivatePkcs8KeyDer},
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    // A private certificate authority, as cert-manager or a service mesh runs one.
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut roots = RootCertStore::empty();
    roots.add(authority.self_signed(&key)?.der().clone())?;
    let issuer = Issuer::new(authority, key);

    // Two Services with three pods each. Every certificate names `orders.shop`, the host in the client's URL; none
    // names a pod's address.
    let dns = FakeDns::start().await?;
    let orders = start(&dns, "orders", &acceptor(&issuer, "orders.shop")?).await?;
    let impostor = start(&dns, "impostor", &acceptor(&issuer, "orders.shop")?).await?;

    let environment =
        Environment::empty().with_env([("POD_NAMESPACE", "web")]).with_resolv_conf(dns.resolv_conf("web"));
    // In a pod, `Resolver::new()?` is enough.
    let resolver = Resolver::builder().environment(environment).nameservers([dns.addr()]).build()?;

    // All pods share one TLS configuration; ALPN selects HTTP/2.
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = Client::builder(resolver).tls(tls).build()?;

    let mut by_pod = BTreeMap::<String, usize>::new();
    for _ in 0..300 {
        let response = client.get(format!("https://orders.shop:{orders}/v1/items")).send().await?.error_for_status()?;
        let version = response.version();
        *by_pod.entry(format!("{} over {version:?}", response.text().await?)).or_default() += 1;
    }
    println!("GET https://orders.shop:{orders}/v1/items, 300 times");
    for (pod, answered) in by_pod {
        println!("  {pod}: {answered}");
    }

    // The client checks each certificate against the host in the URL, so pods that only look like the Service are
    // refused.
    let error = client.get(format!("https://impostor.shop:{impostor}/")).send().await.expect_err("the wrong name");
    println!("GET https://impostor.shop:{impostor}/\n  error: {error}");
    Ok(())
}

/// A TLS acceptor with a new key and a certificate for `name`.
fn acceptor(issuer: &Issuer<'_, KeyPair>, name: &str) -> Result<TlsAcceptor> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, issuer)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Starts three pods on loopback behind the headless Service `name.shop` and returns their port.
async fn start(dns: &FakeDns, name: &'static str, acceptor: &TlsAcceptor) -> Result<u16> {
    // The port that the first pod got is almost always free on the other two addresses as well.
    let first = TcpListener::bind("127.0.0.1:0").await?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    for ip in ["127.0.0.2", "127.0.0.3"] {
        listeners.push(TcpListener::bind((ip, port)).await?);
    }
    let mut service = Service::headless("shop", name).port("https", port);
    for (number, listener) in listeners.into_iter().enumerate() {
        service = service.pod(Pod::new(listener.local_addr()?.ip()));
        tokio::spawn(serve(listener, acceptor.clone(), format!("{name}-{number}")));
    }
    dns.apply(service);
    Ok(port)
}

/// Answers every request with the pod's name.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, pod: String) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, pod) = (acceptor.clone(), pod.clone());
        tokio::spawn(async move {
            let answer = service_fn(|_: Request<Incoming>| {
                let name = Bytes::from(pod.clone());
                async move { Ok::<_, Infallible>(Response::new(Full::new(name))) }
            });
            // A client that rejects the certificate closes the connection, so errors are expected here.
            if let Ok(tls) = acceptor.accept(tcp).await {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), answer).await;
            }
        });
    }
}
