//! Readiness probes, sent from the node as a kubelet does.

use std::{io, net::SocketAddr, time::Duration};

use k8s_openapi::{
    api::core::v1::{Container, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

/// Probes until the task is aborted, and publishes whether the container is ready.
pub(super) async fn run(container: Container, ip: String, ready: watch::Sender<bool>) {
    let Some(probe) = container.readiness_probe.clone() else {
        ready.send_replace(true);
        return;
    };
    let seconds = |value: Option<i32>, default: u64| {
        Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
    };
    let period = seconds(probe.period_seconds.filter(|period| *period > 0), 10);
    let limit = seconds(probe.timeout_seconds.filter(|seconds| *seconds > 0), 1);
    tokio::time::sleep(seconds(probe.initial_delay_seconds, 0)).await;
    let (mut passed, mut failed, mut ever) = (0, 0, false);
    loop {
        let answer = timeout(limit, ask(&probe, &container, &ip)).await;
        if matches!(answer, Ok(Ok(true))) {
            (passed, failed) = (passed + 1, 0);
        } else {
            (passed, failed) = (0, failed + 1);
        }
        if passed >= probe.success_threshold.unwrap_or(1) {
            ever = true;
            ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        } else if failed >= probe.failure_threshold.unwrap_or(3) {
            ready.send_if_modified(|ready| std::mem::replace(ready, false));
        }
        // Probe fast until the first success, because every test waits for it. A real kubelet keeps to the period.
        tokio::time::sleep(if ever { period } else { period.min(Duration::from_millis(100)) }).await;
    }
}

async fn ask(probe: &Probe, container: &Container, ip: &str) -> io::Result<bool> {
    if let Some(http) = &probe.http_get {
        let path = http.path.as_deref().unwrap_or("/");
        return get(addr(ip, &http.port, container)?, path).await;
    }
    match &probe.tcp_socket {
        Some(tcp) => TcpStream::connect(addr(ip, &tcp.port, container)?).await.map(|_| true),
        None => Err(io::Error::other("unsupported probe: this kubelet supports only httpGet and tcpSocket")),
    }
}

async fn get(addr: SocketAddr, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: kube-probe/1.36\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    let status = std::str::from_utf8(&start[9..]).ok().and_then(|status| status.parse::<u16>().ok());
    Ok(status.is_some_and(|status| (200..400).contains(&status)))
}

fn addr(ip: &str, port: &IntOrString, container: &Container) -> io::Result<SocketAddr> {
    let ip = ip.parse().map_err(io::Error::other)?;
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port)
        }
    };
    let number = number.and_then(|number| u16::try_from(number).ok());
    Ok(SocketAddr::new(ip, number.ok_or_else(|| io::Error::other("the container has no such port to probe"))?))
}
