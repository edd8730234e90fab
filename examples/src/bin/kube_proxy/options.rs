//! The command line.

use std::net::{IpAddr, SocketAddr};

use discovery_proxy::{IptablesConfig, IpvsConfig, Mode, object::Protocol};

const USAGE: &str = "\
usage: kube_proxy [FILE ...] [--mode MODE] [--node NAME] [--from IP[:PORT] --to IP:PORT[/PROTOCOL]]

  FILE     manifests (YAML or JSON) with Services and their endpoints: EndpointSlices, Endpoints, Deployments,
           ReplicaSets, StatefulSets, ReplicationControllers or Pods; `-` is the standard input;
           examples/kube_proxy/classics.yaml by default
  --mode   iptables (the default), nftables, ipvs, ipvs=rr|wrr|lc|wlc|sed|nq|sh|dh|mh, userspace
  --node   the node of the kube-proxy: node-a (192.168.0.11, pods 10.244.1.x; the default) or node-b (192.168.0.12,
           pods 10.244.2.x)
  --from   the sender of a flow; port 40000 by default
  --to     the destination of the flow; tcp by default, or /udp or /sctp

Without a flow, prints how each Service is reached, and which of its addresses answer a ping.

  kube_proxy --from 10.244.1.7 --to 10.96.0.10:80/tcp --mode ipvs=sed

exit code: 0 on success, 1 if a manifest cannot be read or is invalid, 2 if the arguments are invalid";

/// The parsed command line.
pub(crate) struct Options {
    pub files: Vec<String>,
    pub mode: Mode,
    pub node: Node,
    pub task: Task,
}

/// The two nodes of the fake cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    A,
    B,
}

/// What to print.
pub(crate) enum Task {
    /// How each Service is reached.
    Reach,
    /// The verdict for a flow.
    Flow { from: SocketAddr, to: SocketAddr, protocol: Protocol },
}

/// Why `Options::read` returned no options.
pub(crate) enum UsageError {
    /// `--help` was given.
    Help(String),
    /// The command line is invalid: the reason, followed by the usage.
    Invalid(String),
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, UsageError> {
        let (mut files, mut mode, mut node) = (Vec::new(), Mode::Iptables(IptablesConfig::default()), Node::A);
        let (mut from, mut to) = (None, None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| usage(&format!("`{argument}` requires a value")));
            match argument.as_str() {
                "--mode" => mode = read_mode(&value()?)?,
                "--node" => node = read_node(&value()?)?,
                "--from" => from = Some(read_source(&value()?)?),
                "--to" => to = Some(read_destination(&value()?)?),
                "-h" | "--help" => return Err(UsageError::Help(USAGE.to_owned())),
                flag if flag.starts_with('-') && flag != "-" => return Err(usage(&format!("unknown option `{flag}`"))),
                file => files.push(file.to_owned()),
            }
        }
        let task = match (from, to) {
            (None, None) => Task::Reach,
            (Some(from), Some((to, protocol))) if from.is_ipv4() == to.is_ipv4() => Task::Flow { from, to, protocol },
            (Some(from), Some((to, _))) => return Err(usage(&format!("{from} and {to} are of different IP families"))),
            (None, Some(_)) => return Err(usage("`--to` requires `--from`")),
            (Some(_), None) => return Err(usage("`--from` requires `--to`")),
        };
        Ok(Self { files, mode, node, task })
    }
}

fn usage(error: &str) -> UsageError {
    UsageError::Invalid(format!("{error}\n\n{USAGE}"))
}

fn read_mode(text: &str) -> Result<Mode, UsageError> {
    let (name, scheduler) = text.split_once('=').map_or((text, None), |(name, scheduler)| (name, Some(scheduler)));
    match (name, scheduler) {
        ("iptables", None) => Ok(Mode::Iptables(IptablesConfig::default())),
        ("nftables", None) => Ok(Mode::Nftables),
        ("userspace", None) => Ok(Mode::Userspace),
        ("ipvs", scheduler) => {
            let scheduler = scheduler.unwrap_or_default().parse().map_err(|error| usage(&format!("{error}")))?;
            Ok(Mode::Ipvs(IpvsConfig::default().with_scheduler(scheduler)))
        }
        _ => Err(usage(&format!("unknown mode `{text}`"))),
    }
}

fn read_node(text: &str) -> Result<Node, UsageError> {
    match text {
        "node-a" => Ok(Node::A),
        "node-b" => Ok(Node::B),
        _ => Err(usage(&format!("unknown node `{text}`: use node-a or node-b"))),
    }
}

fn read_source(text: &str) -> Result<SocketAddr, UsageError> {
    let without_port = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 40_000));
    without_port.or_else(|_| text.parse()).map_err(|_| usage(&format!("`{text}` is neither IP nor IP:PORT")))
}

fn read_destination(text: &str) -> Result<(SocketAddr, Protocol), UsageError> {
    let (addr, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let addr = addr.parse().map_err(|_| usage(&format!("`{addr}` is not IP:PORT")))?;
    let protocol = protocol.to_uppercase().parse().map_err(|error| usage(&format!("`{text}`: {error}")))?;
    Ok((addr, protocol))
}
