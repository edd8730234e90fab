//! How each Service is reached, and whether its addresses answer a ping.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use discovery_proxy::{
    Action, Flow, Masquerade, Mode, Scope, Verdict,
    object::{IpMode, Protocol, Service, ServicePort, ServiceType},
};

use super::{cluster::Cluster, flow::mode};

/// A machine on the internet.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

pub(crate) fn print(out: &mut String, cluster: &Cluster) -> fmt::Result {
    let node = cluster.node;
    writeln!(out, "kube-proxy of {}, {}", node.name(), mode(&cluster.mode))?;
    writeln!(
        out,
        "senders: pod {}, node {}, outside {OUTSIDE} (with a route to this node)",
        node.pod_ip(99),
        node.ip()
    )?;
    for service in &cluster.services {
        writeln!(out, "\n{}/{}, {}", service.namespace, service.name, kind(service))?;
        match &*service.cluster_ip {
            _ if service.service_type == ServiceType::ExternalName => alias(out, service)?,
            "None" => headless(out, cluster, service)?,
            _ => virtual_ips(out, cluster, service)?,
        }
    }
    Ok(())
}

fn kind(service: &Service) -> &'static str {
    match service.service_type {
        ServiceType::ClusterIp if service.cluster_ip == "None" => "headless",
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        _ => "ExternalName",
    }
}

fn alias(out: &mut String, service: &Service) -> fmt::Result {
    writeln!(out, "  DNS answers with the name `{}`, to which clients connect themselves", service.external_name)?;
    writeln!(out, "  ping          depends on that host: the Service has no address, and kube-proxy does not handle it")
}

fn headless(out: &mut String, cluster: &Cluster, service: &Service) -> fmt::Result {
    let pods = cluster.endpoints(service);
    writeln!(
        out,
        "  DNS answers with the addresses of the pods: {}",
        if pods.is_empty() { "none".to_owned() } else { pods.join(", ") }
    )?;
    writeln!(out, "  ping          each pod answers itself; kube-proxy does not handle it")
}

fn virtual_ips(out: &mut String, cluster: &Cluster, service: &Service) -> fmt::Result {
    for port in &service.ports {
        for (kind, ip, number) in addresses(cluster, service, port) {
            line(out, cluster, kind, SocketAddr::new(ip, number), port.protocol)?;
        }
    }
    writeln!(out, "  ping          {}: {}", service.cluster_ip, ping_cluster_ip(&cluster.mode))?;
    for ip in service.external_ips.iter().chain(captured(service)) {
        writeln!(out, "  ping          {ip}: {}", ping_external_ip(&cluster.mode))?;
    }
    if service.ports.iter().any(|port| port.node_port != 0) {
        writeln!(out, "  ping          {}: the node answers, whatever the state of the Service", cluster.node.ip())?;
    }
    Ok(())
}

/// The addresses and numbers that a port is reached at.
fn addresses(cluster: &Cluster, service: &Service, port: &ServicePort) -> Vec<(&'static str, IpAddr, u16)> {
    let mut all = Vec::new();
    let number = u16::try_from(port.port).unwrap_or_default();
    let mut add = |kind, ip: &str, number| all.extend(ip.parse().ok().map(|ip| (kind, ip, number)));
    add("cluster IP", &service.cluster_ip, number);
    service.external_ips.iter().for_each(|ip| add("external IP", ip, number));
    captured(service).for_each(|ip| add("load balancer", ip, number));
    if port.node_port != 0 {
        add("node port", &cluster.node.ip().to_string(), u16::try_from(port.node_port).unwrap_or_default());
    }
    all
}

fn captured(service: &Service) -> impl Iterator<Item = &String> {
    let captured = service.load_balancer_ingress.iter().filter(|ingress| ingress.ip_mode != Some(IpMode::Proxy));
    captured.map(|ingress| &ingress.ip).filter(|ip| !ip.is_empty())
}

fn line(out: &mut String, cluster: &Cluster, kind: &str, to: SocketAddr, protocol: Protocol) -> fmt::Result {
    let senders = [IpAddr::V4(cluster.node.pod_ip(99)), cluster.node.ip(), OUTSIDE];
    let verdicts = senders.map(|from| verdict(cluster, from, to, protocol));
    writeln!(out, "  {kind:<13} {to}/{protocol}")?;
    if verdicts[0] == verdicts[1] && verdicts[1] == verdicts[2] {
        writeln!(out, "                from anywhere     {}", verdicts[0])?;
    } else {
        for (sender, verdict) in ["from a pod", "from the node", "from outside"].iter().zip(verdicts) {
            writeln!(out, "                {sender:<17} {verdict}")?;
        }
    }
    Ok(())
}

/// The verdict in a few words; `--from` and `--to` print all of it.
fn verdict(cluster: &Cluster, from: IpAddr, to: SocketAddr, protocol: Protocol) -> String {
    let flow = Flow::new(protocol, SocketAddr::new(from, 40_000), to);
    let verdict = cluster.snapshot.decide(&flow, Instant::now(), &mut cluster.rng.clone());
    match verdict.action {
        Action::Endpoint { .. } => {
            let usable = cluster.snapshot.lookup(&flow).map(|port| {
                let sets = port.usable();
                let is_local = verdict.matched().is_some_and(|matched| matched.scope == Scope::Local);
                list(if is_local { &sets.local } else { &sets.cluster })
            });
            format!("{}{}", usable.unwrap_or_default(), seen(&verdict))
        }
        _ => verdict.to_string(),
    }
}

fn list(endpoints: &[SocketAddr]) -> String {
    let all: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn seen(verdict: &Verdict<'_>) -> String {
    match verdict.matched().map(|matched| matched.masquerade) {
        None | Some(Masquerade::No) => String::new(),
        Some(why) => format!(" (masqueraded: {why})"),
    }
}

/// Source: the documentation of each mode in `discovery_proxy`; Kubernetes documentation, "Virtual IPs and Service
/// Proxies".
fn ping_cluster_ip(mode: &Mode) -> &'static str {
    match mode {
        Mode::Ipvs(_) => "answers with or without endpoints: the node has the address on kube-ipvs0",
        Mode::Nftables => "never answers: the rules match protocol and port, and reject a ping, which has no port",
        _ => "never answers: no interface has the address, and the rules match ports, which a ping does not have",
    }
}

fn ping_external_ip(mode: &Mode) -> &'static str {
    match mode {
        Mode::Ipvs(_) => "the node answers, which has the address on kube-ipvs0; elsewhere, the routes decide",
        _ => "only the machine that has the address answers, if any: nodes capture only the ports of its Service",
    }
}
