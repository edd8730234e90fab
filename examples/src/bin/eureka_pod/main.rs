//! A pod that registers itself with Eureka, serves, and deregisters on SIGTERM:
//! `cargo run -p examples --bin eureka_pod`, and Ctrl-C.
//!
//! EUREKA_URL is the registry, such as `http://rates-eureka.platform-team-a.svc:8080/eureka`; without it one in this
//! process is played. PORT is the port (8080; a free one beside the played registry), DRAIN how many seconds it serves on
//! after it has deregistered (75; 1 beside the played registry). IP is the address to register outside of a pod.
//! `--for SECONDS` ends it as SIGTERM does.

mod registry;
mod server;

use std::{
    env,
    error::Error,
    net::{Ipv4Addr, Ipv6Addr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use discovery_core::Resolver;
use discovery_eureka::{EurekaSource, Registration, Status};
use discovery_reqwest::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let lasts = arguments()?;
    let played = match env::var("EUREKA_URL") {
        Ok(_) => None,
        Err(_) => Some(registry::start().await?),
    };
    let url = match &played {
        Some(played) => format!("http://{}/eureka", played.addr()),
        None => env::var("EUREKA_URL")?,
    };
    let number = |name: &str, default: u64| env::var(name).map_or(Ok(default), |text| text.parse());
    let port = u16::try_from(number("PORT", if played.is_some() { 0 } else { 8080 })?)?;
    let drain = Duration::from_secs(number("DRAIN", if played.is_some() { 1 } else { 75 })?);
    // Before anything else: a SIGTERM that comes early is heard.
    let mut terminate = signal(SignalKind::terminate())?;

    // 1. The listener: whoever finds the pod in the registry connects at once. Both families, where the machine has both.
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?,
    };
    let port = listener.local_addr()?.port();
    let server = server::start(listener);

    // 2. The registration. Its address is POD_IP, from the downward API; nothing is played here but that.
    let client = Client::new(Resolver::new()?);
    let mut builder = Registration::builder(&client, url.as_str(), "rates")
        .port(port)
        .health_check("/health")
        .health(|| async { Status::Up });
    let ip = env::var("IP").ok().or(played.is_some().then(|| Ipv4Addr::LOCALHOST.to_string()));
    if let Some(ip) = ip {
        builder = builder.ip(ip.parse()?);
    }
    let registration = builder.register().await?;

    // 3. Serve until the kubelet says that the pod ends; meanwhile it may be found, also by itself.
    let mut ended = pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = lasts => {}
        }
    });
    tokio::select! {
        () = &mut ended => {}
        found = find(&registration, &client, &url) => {
            if let Err(error) = found {
                println!("not found    {error}");
            }
            ended.await;
        }
    }

    // 4. In order: deregister, serve on for those who have not heard of it, stop listening, finish what is in flight.
    println!("ending       serving on for {drain:?}");
    match registration.shutdown(drain).await {
        Ok(()) => println!("deregistered"),
        Err(error) => println!("not deregistered, the lease runs out: {error}"),
    }
    server.stop().await;
    println!("stopped");
    Ok(())
}

async fn find(registration: &Registration, client: &Client, url: &str) -> Result<(), Box<dyn Error>> {
    registration.settled().await?;
    println!("registered   {} as {}", registration.app(), registration.id());
    let eureka = EurekaSource::builder(client, url).build()?;
    let resolver = Resolver::builder().source(Arc::new(eureka)).build()?;
    let response = Client::new(resolver).get("http://rates/v1/eur").send().await?;
    println!("found        http://rates/v1/eur: {}", response.text().await?);
    Ok(())
}

/// How long `--for SECONDS` is; for ever without it.
fn arguments() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let lasts = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--for", seconds] => Some(Duration::from_secs_f64(seconds.parse()?)),
        _ => return Err("usage: eureka_pod [--for SECONDS]".into()),
    };
    Ok(async move {
        match lasts {
            Some(lasts) => tokio::time::sleep(lasts).await,
            None => std::future::pending().await,
        }
    })
}
