//! The command line.

use std::net::{IpAddr, SocketAddr};

use discovery_proxy::{IptablesConfig, IpvsConfig, Mode, object::Protocol};

const USAGE: &str = "\
usage: kube_proxy [FILE ...] [--mode MODE] [--node NAME] [--from IP[:PORT] --to IP:PORT[/PROTOCOL]]

  FILE     manifests (YAML or JSON): Services, and EndpointSlices, Endpoints, Deployments, ReplicaSets, StatefulSets,
           ReplicationControllers or Pods for them to lead to; without one, the classics of
           examples/kube_proxy/classics.yaml
  --mode   iptables (the default), nftables, ipvs, ipvs=rr|wrr|lc|wlc|sed|nq|sh|dh|mh, userspace
  --node   whose kube-proxy it is: node-a (192.168.0.11, pods 10.244.1.x; the default) or node-b (192.168.0.12,
           pods 10.244.2.x)
  --from   who sends a flow; port 40000 unless given
  --to     where to; tcp unless /udp or /sctp is given

Without a flow it tells of each Service how it is reached, and which of its addresses answer a ping.

  kube_proxy --from 10.244.1.7 --to 10.96.0.10:80/tcp --mode ipvs=sed

exit code: 0, 1 a manifest cannot be read, 2 it is not called like this";

/// What is to be done.
pub(crate) struct Options {
    pub files: Vec<String>,
    pub mode: Mode,
    pub node: Node,
    pub asked: Asked,
}

/// The two nodes of the fake cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    A,
    B,
}

/// What the user wants to know.
pub(crate) enum Asked {
    Reach,
    Flow { from: SocketAddr, to: SocketAddr, protocol: Protocol },
}

/// Why the command line is none, and how one looks.
pub(crate) struct Wrong(pub String);

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Wrong> {
        let (mut files, mut mode, mut node) = (Vec::new(), Mode::Iptables(IptablesConfig::default()), Node::A);
        let (mut from, mut to) = (None, None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| wrong(&format!("`{argument}` needs a value")));
            match argument.as_str() {
                "--mode" => mode = read_mode(&value()?)?,
                "--node" => node = read_node(&value()?)?,
                "--from" => from = Some(read_source(&value()?)?),
                "--to" => to = Some(read_destination(&value()?)?),
                flag if flag.starts_with('-') => return Err(wrong(&format!("`{flag}` is not known"))),
                file => files.push(file.to_owned()),
            }
        }
        let asked = match (from, to) {
            (None, None) => Asked::Reach,
            (Some(from), Some((to, protocol))) if from.is_ipv4() == to.is_ipv4() => Asked::Flow { from, to, protocol },
            (Some(from), Some((to, _))) => return Err(wrong(&format!("{from} and {to} are of different families"))),
            (None, Some(_)) => return Err(wrong("`--to` needs a `--from`")),
            (Some(_), None) => return Err(wrong("`--from` needs a `--to`")),
        };
        Ok(Self { files, mode, node, asked })
    }
}

fn wrong(what: &str) -> Wrong {
    Wrong(format!("{what}\n\n{USAGE}"))
}

fn read_mode(text: &str) -> Result<Mode, Wrong> {
    let (name, scheduler) = text.split_once('=').map_or((text, None), |(name, scheduler)| (name, Some(scheduler)));
    match (name, scheduler) {
        ("iptables", None) => Ok(Mode::Iptables(IptablesConfig::default())),
        ("nftables", None) => Ok(Mode::Nftables),
        ("userspace", None) => Ok(Mode::Userspace),
        ("ipvs", scheduler) => {
            let scheduler = scheduler.unwrap_or_default().parse().map_err(|error| wrong(&format!("{error}")))?;
            Ok(Mode::Ipvs(IpvsConfig::default().with_scheduler(scheduler)))
        }
        _ => Err(wrong(&format!("`{text}` is no mode"))),
    }
}

fn read_node(text: &str) -> Result<Node, Wrong> {
    match text {
        "node-a" => Ok(Node::A),
        "node-b" => Ok(Node::B),
        _ => Err(wrong(&format!("`{text}` is no node: node-a or node-b"))),
    }
}

fn read_source(text: &str) -> Result<SocketAddr, Wrong> {
    let lone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 40_000));
    lone.or_else(|_| text.parse()).map_err(|_| wrong(&format!("`{text}` is neither IP nor IP:PORT")))
}

fn read_destination(text: &str) -> Result<(SocketAddr, Protocol), Wrong> {
    let (addr, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let addr = addr.parse().map_err(|_| wrong(&format!("`{addr}` is not IP:PORT")))?;
    let protocol = protocol.to_uppercase().parse().map_err(|error| wrong(&format!("`{text}`: {error}")))?;
    Ok((addr, protocol))
}
