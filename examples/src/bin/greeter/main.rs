//! A gRPC client that balances each call, beside tonic's `balance_list`: `cargo run -p examples --bin greeter`.
//!
//! `generated.rs` is what tonic's code generator makes of `greeter.proto`.

mod servers;

use std::{error::Error, sync::Arc};

use discovery_testing::ManualSource;
use discovery_tonic::{Channel, Environment, Resolver};
use tonic::{
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
    transport::{self, Certificate, ClientTlsConfig, Endpoint, Identity},
};

use self::{
    pb::{HelloRequest, greeter_client::GreeterClient},
    servers::Pod,
};

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "generated code")]
mod pb {
    include!("generated.rs");
}

type BoxError = Box<dyn Error + Send + Sync>;

const CALLS: usize = 400;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tls().await?;
    println!("\n{CALLS} calls, 1 of 4 pods      discovery-tonic        tonic's balance_list");
    for case in [Case::IsDead, Case::AnswersUnavailable] {
        let ours = case.run(|pods| channel(pods, None)).await?;
        let tonics = case.run(balance_list).await?;
        println!("{:24} {ours:>22} {tonics:>27}", case.title());
    }
    Ok(())
}

/// What is wrong with one of four pods.
#[derive(Clone, Copy, PartialEq)]
enum Case {
    /// From the start.
    IsDead,
    AnswersUnavailable,
}

impl Case {
    fn title(self) -> &'static str {
        match self {
            Self::IsDead => "is dead",
            Self::AnswersUnavailable => "answers UNAVAILABLE",
        }
    }

    /// How many calls failed, and how many the pod received.
    async fn run<T>(self, channel: impl Fn(&[Pod]) -> Result<T, BoxError>) -> Result<String, BoxError>
    where
        T: GrpcService<Body, Error: Into<StdError>> + Clone,
        T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    {
        let mut pods = Vec::new();
        for at in 0..4 {
            pods.push(Pod::start(&format!("greeter-{at}"), self == Self::AnswersUnavailable && at == 0, None).await?);
        }
        let channel = channel(&pods)?;
        if let (Some(pod), true) = (pods.first_mut(), self == Self::IsDead) {
            pod.close().await;
        }
        let failed = call(&channel, CALLS).await;
        Ok(format!("{failed} failed, {} there", pods.first().map_or(0, Pod::calls)))
    }
}

/// The certificates are those of the Service's name; the pods have addresses only.
async fn tls() -> Result<(), BoxError> {
    let certified = rcgen::generate_simple_self_signed(["greeter.shop".to_owned()])?;
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let identity = Identity::from_pem(&certificate, key);
    let mut pods = Vec::new();
    for at in 0..3 {
        pods.push(Pod::start(&format!("greeter-{at}"), false, Some(&identity)).await?);
    }
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate));
    let mut client = GreeterClient::new(channel(&pods, Some(config))?);
    for name in ["Ada", "Grace", "Barbara"] {
        let reply = client.say_hello(HelloRequest { name: name.into(), times: 1 }).await?.into_inner();
        println!("over TLS: {} from {}", reply.message, reply.pod);
    }
    let mut stream = client.say_hellos(HelloRequest { name: "all".into(), times: 2 }).await?.into_inner();
    while let Some(reply) = stream.message().await? {
        println!("a stream over TLS: {} from {}", reply.message, reply.pod);
    }
    Ok(())
}

/// In a pod, `Channel::new(&Resolver::new()?, "http://_grpc._tcp.greeter.shop")?` is enough.
fn channel(pods: &[Pod], tls: Option<ClientTlsConfig>) -> Result<Channel, BoxError> {
    let (source, handle) = ManualSource::for_name("greeter.shop");
    let addrs: Vec<String> = pods.iter().map(|pod| pod.addr().to_string()).collect();
    handle.set(addrs.iter().map(String::as_str));
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let resolver = Resolver::builder().environment(environment).source(Arc::new(source)).build()?;
    Ok(match tls {
        Some(config) => Channel::builder(resolver.upstream("https://greeter.shop")?).tls(config).build()?,
        None => Channel::new(&resolver, "http://greeter.shop")?,
    })
}

fn balance_list(pods: &[Pod]) -> Result<transport::Channel, BoxError> {
    let endpoints: Result<Vec<_>, _> =
        pods.iter().map(|pod| Endpoint::from_shared(format!("http://{}", pod.addr()))).collect();
    Ok(transport::Channel::balance_list(endpoints?.into_iter()))
}

/// Calls one after the other, and returns how many failed.
async fn call<T>(channel: &T, calls: usize) -> usize
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let mut client = GreeterClient::new(channel.clone());
    let mut failed = 0;
    for _ in 0..calls {
        failed += usize::from(client.say_hello(HelloRequest { name: "Ada".into(), times: 1 }).await.is_err());
    }
    failed
}
