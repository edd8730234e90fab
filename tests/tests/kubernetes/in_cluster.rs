//! As in a pod: `https` and the service account's token and certificate authority, without any setting.

use std::sync::Arc;

use discovery_core::{Environment, Resolver, context::Families};
use discovery_testing::FakeDns;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tests::addrs;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        version::TLS13,
    },
};

use super::{
    objects::{service, slice},
    server::{ApiServer, Mode},
};

/// A certificate for `127.0.0.1` and its authority, as PEM.
fn authority() -> (TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).unwrap().with_no_client_auth();
    let config = builder.with_single_cert(vec![leaf.der().clone()], private).unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca.pem())
}

#[tokio::test]
async fn needs_only_the_service_account() {
    let (tls, ca) = authority();
    let (server, dns) = (ApiServer::start_with(Some(tls)).await, FakeDns::start().await.unwrap());
    server.set(Mode::Token("the-token"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    let account = std::env::temp_dir().join(format!("discovery-account-{}", std::process::id()));
    std::fs::create_dir_all(&account).unwrap();
    std::fs::write(account.join("ca.crt"), ca).unwrap();
    std::fs::write(account.join("token"), "the-token").unwrap();

    let port = server.port().to_string();
    let environment = Environment::empty()
        .with_env([
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", &port),
            ("POD_NAMESPACE", "shop"),
            // The kubelet sets these for the Services of the own namespace.
            ("ORDERS_SERVICE_HOST", "10.96.0.7"),
            ("ORDERS_SERVICE_PORT", "80"),
        ])
        .with_resolv_conf(dns.resolv_conf("shop"))
        .with_service_account_dir(&account);
    let resolver = |environment: Environment| {
        let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
        builder.endpoint_slices().build().unwrap()
    };
    let orders = resolver(environment.clone()).resolve("http://orders").await.unwrap();
    assert_eq!(
        addrs(&orders.endpoints()),
        ["10.0.0.1:8080"],
        "the pods, not the virtual address: {}",
        orders.explain()
    );
    assert_eq!(dns.total(), 0);
    let wanted = environment.with_env([("DISCOVERY_SERVICE_ENV", "on")]);
    let orders = resolver(wanted).resolve("http://orders").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.96.0.7:80"]);
    std::fs::remove_dir_all(&account).unwrap();
}
