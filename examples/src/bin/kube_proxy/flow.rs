//! The verdict for one flow, and the endpoints of a thousand flows like it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::SocketAddr,
    time::Instant,
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{Action, Flow, Mode, Snapshot, object::Protocol};

use super::cluster::Cluster;

const MANY: usize = 1_000;

pub(crate) fn print(
    out: &mut String,
    cluster: &Cluster,
    from: SocketAddr,
    to: SocketAddr,
    protocol: Protocol,
) -> fmt::Result {
    let (snapshot, mut rng) = (&cluster.snapshot, cluster.rng.clone());
    let now = Instant::now();
    let flow = Flow::new(protocol, from, to);
    writeln!(out, "{protocol} from {from} to {to}, on {}, {}", cluster.node.name(), mode(&cluster.mode))?;
    if let Some(port) = snapshot.lookup(&flow) {
        writeln!(out, "  belongs to  {} ({})", port.name(), port.destination())?;
        for endpoint in port.endpoints() {
            writeln!(out, "  endpoint    {}", endpoint.addr)?;
        }
    }
    let verdict = snapshot.decide(&flow, now, &mut rng);
    writeln!(out, "  verdict     {}", verdict.action)?;
    writeln!(out, "  because     {}", verdict.reason)?;
    if let Action::Endpoint { masquerade, .. } = verdict.action {
        let seen = if masquerade { "the node's address".to_owned() } else { from.ip().to_string() };
        writeln!(out, "  pod sees    {seen}")?;
        writeln!(out, "  {MANY} such   {}", shares(snapshot, &flow, now, &mut rng))?;
    }
    Ok(())
}

/// The number of flows to each endpoint. All of them stay open, because IPVS's schedulers count connections.
fn shares(snapshot: &Snapshot, flow: &Flow<'_>, now: Instant, rng: &mut SplitMix64) -> String {
    let (mut shares, mut open) = (BTreeMap::<SocketAddr, usize>::new(), Vec::new());
    for number in 0..MANY {
        let port = u16::try_from(20_000 + number).unwrap_or_default();
        let flow = Flow::new(flow.protocol, SocketAddr::new(flow.source.ip(), port), flow.destination);
        let verdict = snapshot.decide(&flow, now, rng);
        if let Some(endpoint) = verdict.endpoint() {
            *shares.entry(endpoint).or_default() += 1;
            open.extend(verdict.open(&flow));
        }
    }
    let each: Vec<_> = shares.iter().map(|(endpoint, share)| format!("{endpoint}: {share}")).collect();
    each.join(", ")
}

pub(crate) fn mode(mode: &Mode) -> String {
    match mode {
        Mode::Userspace => "userspace mode".to_owned(),
        Mode::Iptables(_) => "iptables mode".to_owned(),
        Mode::Ipvs(config) => format!("IPVS mode, {:?}", config.scheduler()),
        Mode::Nftables => "nftables mode".to_owned(),
        _ => "an unknown mode".to_owned(),
    }
}
