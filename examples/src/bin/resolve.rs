//! Resolve a name and show which sources were asked, what each answered, and which one won:
//! `cargo run -p examples --bin resolve -- orders.shop:http --fake`.

use std::{env, error::Error, process::ExitCode, time::Duration};

use discovery_core::{Environment, Resolver};
use discovery_testing::{FakeDns, Pod, Service};

const USAGE: &str = "\
usage: resolve NAME [--fake | --slices]

  NAME     orders, orders:8080, orders.shop:http, _http._tcp.orders.shop, web-0.nginx.shop.svc,
           db.example.com:5432, http://orders.shop/v1, 10.0.0.1:80, ...
  --fake   resolve in a fake cluster inside this process, as a pod in namespace `shop` would. That namespace
           has `orders` (headless, 3 pods, port `http` 8080), `nginx` (a StatefulSet of 2 pods, port `web` 80),
           `billing` (a virtual address, port `http` 80) and `db` (an alias of db.example.com). Without this
           option, the machine's own configuration is used
  --slices ask EndpointSlices before DNS; needs a pod with permission to read them, and the feature
           `kubernetes` of the examples

exit code: 0 endpoints were found, 1 none were found, 2 wrong usage";

/// How long to wait for the first answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    let (name, mode) = match arguments(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match run(&name, mode).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where to resolve the name.
#[derive(Clone, Copy)]
enum Mode {
    AsConfigured,
    Fake,
    Slices,
}

fn arguments(all: impl Iterator<Item = String>) -> Result<(String, Mode), String> {
    let (flags, mut names): (Vec<_>, Vec<_>) = all.partition(|argument| argument.starts_with('-'));
    let mut mode = Mode::AsConfigured;
    for flag in flags {
        mode = match flag.as_str() {
            "--fake" => Mode::Fake,
            "--slices" if cfg!(feature = "kubernetes") => Mode::Slices,
            "--slices" => return Err("`--slices` needs `cargo run -p examples --features kubernetes ...`".to_owned()),
            _ => return Err(format!("unknown option `{flag}`\n\n{USAGE}")),
        };
    }
    match (names.pop(), names.pop()) {
        (Some(name), None) => Ok((name, mode)),
        (None, _) => Err(format!("no name given\n\n{USAGE}")),
        (Some(_), Some(_)) => Err(format!("more than one name given; resolve them one at a time\n\n{USAGE}")),
    }
}

async fn run(name: &str, mode: Mode) -> Result<(), Box<dyn Error>> {
    // Kept until the end: dropping the handle stops the server.
    let dns = if matches!(mode, Mode::Fake) { Some(fake_dns().await?) } else { None };
    let resolver = match (&dns, mode) {
        (Some(dns), _) => in_shop_pod(dns)?,
        (None, Mode::Slices) => with_slices()?,
        (None, _) => Resolver::new()?,
    };
    let upstream = resolver.upstream(name)?;
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, upstream.first_answer()).await;
    print!("{}", upstream.explain());
    Ok(answered.map_err(|_| format!("no source answered within {ANSWER_TIMEOUT:?}"))??)
}

#[cfg(feature = "kubernetes")]
fn with_slices() -> Result<Resolver, discovery_core::Error> {
    Resolver::builder().endpoint_slices().build()
}

#[cfg(not(feature = "kubernetes"))]
fn with_slices() -> Result<Resolver, discovery_core::Error> {
    Resolver::new()
}

/// A resolver with the environment of a pod in namespace `shop`.
fn in_shop_pod(dns: &FakeDns) -> Result<Resolver, discovery_core::Error> {
    let environment =
        Environment::empty().with_env([("POD_NAMESPACE", "shop")]).with_resolv_conf(dns.resolv_conf("shop"));
    Resolver::builder().environment(environment).nameservers([dns.addr()]).build()
}

async fn fake_dns() -> std::io::Result<FakeDns> {
    let dns = FakeDns::start().await?;
    let pods = |ips: &[&str]| ips.iter().map(|ip| Pod::new(*ip)).collect::<Vec<_>>();
    let orders = pods(&["10.0.0.2", "10.0.0.3", "10.0.0.4"]).into_iter();
    dns.apply(orders.fold(Service::headless("shop", "orders").port("http", 8080), Service::pod));
    let nginx = pods(&["10.0.0.5", "10.0.0.6"]).into_iter().zip(["web-0", "web-1"]);
    let nginx = nginx.map(|(pod, hostname)| pod.hostname(hostname));
    dns.apply(nginx.fold(Service::headless("shop", "nginx").port("web", 80), Service::pod));
    dns.apply(Service::cluster_ip("shop", "billing").ip("10.96.0.7").port("http", 80));
    dns.apply(Service::external_name("shop", "db", "db.example.com"));
    dns.record("db.example.com", "192.0.2.10");
    Ok(dns)
}
