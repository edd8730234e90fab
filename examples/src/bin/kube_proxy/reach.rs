//! How each Service is reached, and what a ping to it says.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use discovery_proxy::{
    Action, Flow, Masquerade, Mode, Verdict,
    object::{IpMode, Protocol, Service, ServicePort, ServiceType},
};

use super::{cluster::Cluster, flow::mode};

/// Somebody on the internet.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

pub(crate) fn print(out: &mut String, cluster: &Cluster) -> fmt::Result {
    let node = cluster.node;
    writeln!(out, "kube-proxy of {}, {}", node.name(), mode(&cluster.mode))?;
    writeln!(out, "a pod here is {}, the node {}, somebody outside {OUTSIDE}, if a route", node.pod_ip(99), node.ip())?;
    writeln!(out, "leads from there to this node")?;
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
    writeln!(out, "  DNS answers with the name `{}`: clients go there by themselves", service.external_name)?;
    writeln!(out, "  ping          what that host does; there is no address of the Service, and nothing to proxy")
}

fn headless(out: &mut String, cluster: &Cluster, service: &Service) -> fmt::Result {
    let pods = cluster.endpoints(service);
    writeln!(
        out,
        "  DNS answers with the pods themselves: {}",
        if pods.is_empty() { "none".to_owned() } else { pods.join(", ") }
    )?;
    writeln!(out, "  ping          each pod answers for itself; kube-proxy has no part in it")
}

fn virtual_ips(out: &mut String, cluster: &Cluster, service: &Service) -> fmt::Result {
    for port in &service.ports {
        for (what, ip, number) in addresses(cluster, service, port) {
            line(out, cluster, what, SocketAddr::new(ip, number), port.protocol)?;
        }
    }
    writeln!(out, "  ping          {}: {}", service.cluster_ip, ping_cluster_ip(&cluster.mode))?;
    for ip in service.external_ips.iter().chain(captured(service)) {
        writeln!(out, "  ping          {ip}: {}", ping_external_ip(&cluster.mode))?;
    }
    if service.ports.iter().any(|port| port.node_port != 0) {
        writeln!(out, "  ping          {}: answers, as a node, whatever becomes of the Service", cluster.node.ip())?;
    }
    Ok(())
}

/// Each address and number that a port has.
fn addresses(cluster: &Cluster, service: &Service, port: &ServicePort) -> Vec<(&'static str, IpAddr, u16)> {
    let mut all = Vec::new();
    let number = u16::try_from(port.port).unwrap_or_default();
    let mut add = |what, ip: &str, number| all.extend(ip.parse().ok().map(|ip| (what, ip, number)));
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

fn line(out: &mut String, cluster: &Cluster, what: &str, to: SocketAddr, protocol: Protocol) -> fmt::Result {
    let senders = [IpAddr::V4(cluster.node.pod_ip(99)), cluster.node.ip(), OUTSIDE];
    let told = senders.map(|from| verdict(cluster, from, to, protocol));
    writeln!(out, "  {what:<13} {to}/{protocol}")?;
    if told[0] == told[1] && told[1] == told[2] {
        writeln!(out, "                from anywhere     {}", told[0])?;
    } else {
        for (whence, told) in ["from a pod", "from the node", "from outside"].iter().zip(told) {
            writeln!(out, "                {whence:<17} {told}")?;
        }
    }
    Ok(())
}

/// In a few words; `--from --to` tells all of it.
fn verdict(cluster: &Cluster, from: IpAddr, to: SocketAddr, protocol: Protocol) -> String {
    let flow = Flow::new(protocol, SocketAddr::new(from, 40_000), to);
    let verdict = cluster.snapshot.decide(&flow, Instant::now(), &mut cluster.rng.clone());
    match verdict.action {
        Action::Endpoint { .. } => {
            let usable = cluster.snapshot.lookup(&flow).map(|port| {
                let sets = port.usable();
                let is_local =
                    verdict.matched().is_some_and(|matched| matched.scope.to_string().ends_with("of this node"));
                list(if is_local { &sets.local } else { &sets.cluster })
            });
            format!("{}{}", usable.unwrap_or_default(), seen(&verdict))
        }
        Action::Reject => format!("refused: {}", verdict.reason),
        Action::Drop => format!("dropped: {}", verdict.reason),
        _ => format!("left alone: {}", verdict.reason),
    }
}

fn list(endpoints: &[SocketAddr]) -> String {
    let all: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn seen(verdict: &Verdict<'_>) -> String {
    match verdict.matched().map(|matched| matched.masquerade) {
        None | Some(Masquerade::No) => String::new(),
        Some(why) => format!(" (they see the node: {why})"),
    }
}

/// Source: the modes' own pages in `discovery_proxy`; Kubernetes documentation, "Virtual IPs and Service Proxies".
fn ping_cluster_ip(mode: &Mode) -> &'static str {
    match mode {
        Mode::Ipvs(_) => "answers, and says nothing: the node itself has it, on kube-ipvs0, with or without endpoints",
        Mode::Nftables => "never answers: the rules know protocol and port, a ping has no port, and it is refused",
        _ => "never answers: no interface has it, the rules know protocol and port, and a ping has no port",
    }
}

fn ping_external_ip(mode: &Mode) -> &'static str {
    match mode {
        Mode::Ipvs(_) => "a node answers, which has it on kube-ipvs0; from elsewhere, whoever routes lead to",
        _ => "only whoever really has it answers, if anybody: nodes take its Service's ports and nothing else",
    }
}
