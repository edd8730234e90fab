//! A pod that registers itself with Eureka, serves requests, and deregisters on SIGTERM or Ctrl-C:
//! `cargo run -p examples --bin eureka_pod`.
//!
//! | variable or option | meaning | default | default with the fake registry |
//! |---|---|---|---|
//! | `EUREKA_URL` | the registry, such as `http://rates-eureka.platform-team-a.svc:8080/eureka` | a fake registry in this process | |
//! | `PORT` | the port to listen on | 8080 | a free port |
//! | `DRAIN` | how many seconds to keep serving after deregistering | 75 | 1 |
//! | `IP` | the address to register outside of a pod | | 127.0.0.1 |
//! | `--for SECONDS` | shut down after this time, as SIGTERM does | never | never |

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

use discovery_eureka::{Client, EurekaSource, Registration, Resolver, Status};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let time_limit = arguments()?;
    let fake = match env::var("EUREKA_URL") {
        Ok(_) => None,
        Err(_) => Some(registry::start().await?),
    };
    let url = match &fake {
        Some(fake) => format!("http://{}/eureka", fake.addr()),
        None => env::var("EUREKA_URL")?,
    };
    let number = |name: &str, default: u64| env::var(name).map_or(Ok(default), |text| text.parse());
    let port = u16::try_from(number("PORT", if fake.is_some() { 0 } else { 8080 })?)?;
    let drain = Duration::from_secs(number("DRAIN", if fake.is_some() { 1 } else { 75 })?);
    // Install the signal handler first, so that an early SIGTERM is not missed.
    let mut terminate = signal(SignalKind::terminate())?;

    // 1. Listen before registering: other pods connect as soon as they find this one in the registry. The listener takes
    //    IPv6 and IPv4 where the machine has both.
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?,
    };
    let port = listener.local_addr()?.port();
    let server = server::start(listener);

    // 2. Register. In a pod the address comes from POD_IP, which the downward API sets; only outside of a pod does this
    //    example pass one.
    let client = Client::new(Resolver::new()?);
    let mut builder = Registration::builder(&client, url.as_str(), "rates")
        .port(port)
        .health_check("/health")
        .health(|| async { Status::Up });
    let ip = env::var("IP").ok().or(fake.is_some().then(|| Ipv4Addr::LOCALHOST.to_string()));
    if let Some(ip) = ip {
        builder = builder.ip(ip.parse()?);
    }
    let registration = builder.register().await?;

    // 3. Serve until the kubelet ends the pod. Meanwhile, call this pod through the registry, as another pod would.
    let mut shutdown = pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = time_limit => {}
        }
    });
    tokio::select! {
        () = &mut shutdown => {}
        result = call_through_registry(&registration, &client, &url) => {
            if let Err(error) = result {
                println!("call failed   {error}");
            }
            shutdown.await;
        }
    }

    // 4. Shut down in this order: deregister, keep serving clients that have not fetched the registry again, stop
    //    listening, finish the requests in flight.
    println!("shutdown      deregistering, then serving for another {drain:?}");
    match registration.shutdown(drain).await {
        Ok(()) => println!("deregistered"),
        Err(error) => println!("deregistering failed, so the lease has to expire: {error}"),
    }
    server.stop().await;
    println!("stopped");
    Ok(())
}

/// Waits for the registration, then sends a request to `http://rates` and so to this pod.
async fn call_through_registry(registration: &Registration, client: &Client, url: &str) -> Result<(), Box<dyn Error>> {
    registration.settled().await?;
    println!("registered    {} as {}", registration.app(), registration.id());
    let eureka = EurekaSource::builder(client, url).build()?;
    let resolver = Resolver::builder().source(Arc::new(eureka)).build()?;
    let response = Client::new(resolver).get("http://rates/v1/eur").send().await?;
    println!("called        http://rates/v1/eur: {}", response.text().await?);
    Ok(())
}

/// Completes after the time that `--for SECONDS` gives, or never without that option.
fn arguments() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let limit = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--for", seconds] => Some(Duration::from_secs_f64(seconds.parse()?)),
        _ => return Err("usage: eureka_pod [--for SECONDS]".into()),
    };
    Ok(async move {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    })
}
