//! Machines that the API does not know about: pods without an API object, and machines outside of the cluster.

use std::{io, net::IpAddr, process::Command};

use super::{
    cluster::Cluster,
    namespaces::Namespaces,
    node::{PodFiles, batch},
};

/// The node's address on the link to each pod and neighbor. It is their default gateway, and the source address of
/// masqueraded traffic.
pub(crate) const GATEWAY: &str = "169.254.1.1";

/// A network namespace with a link to the node.
#[derive(Clone, Debug)]
pub(crate) struct Neighbor {
    pub(crate) namespaces: Namespaces,
    /// The machine's own addresses.
    pub(crate) ips: Vec<IpAddr>,
}

impl Cluster {
    /// Makes a pod without an API object, with an address from the pod range, for endpoints that a test writes.
    pub(crate) fn bare_pod(&self, name: &str) -> Neighbor {
        let files = PodFiles { host_name: name.to_owned(), ..PodFiles::default() };
        let (namespaces, ips) = self.node.new_pod(&format!("bare/{name}"), &files).unwrap();
        let ips = ips.iter().filter_map(|ip| ip.parse().ok()).filter(IpAddr::is_ipv4).collect();
        Neighbor { namespaces, ips }
    }

    /// Makes a machine outside of the cluster, one hop away from the node, with these IPv4 addresses.
    pub(crate) fn outside_machine(&self, name: &str, ips: &[&str]) -> Neighbor {
        let node = &self.node;
        let make = || -> io::Result<Neighbor> {
            let namespaces = node.namespaces().new_inside(|| {
                let mut links =
                    format!("link set lo up\nlink add eth0 type veth peer name {name} netns {}\n", node.pid);
                ips.iter().for_each(|ip| links += &format!("addr add {ip}/32 dev eth0\n"));
                links += &format!("link set eth0 up\nroute add {GATEWAY} dev eth0 scope link\n");
                links += &format!("route add default via {GATEWAY} dev eth0\n");
                batch(&links)
            })?;
            node.namespaces().run(|| {
                let mut links = format!("addr add {GATEWAY}/32 dev {name}\nlink set {name} up\n");
                ips.iter().for_each(|ip| links += &format!("route add {ip}/32 dev {name}\n"));
                batch(&links)
            })?;
            Ok(Neighbor { namespaces, ips: ips.iter().filter_map(|ip| ip.parse().ok()).collect() })
        };
        make().unwrap_or_else(|error| panic!("cannot create machine {name}: {error}"))
    }

    /// Makes a machine the node's default route, and lets it accept every destination address. Untranslated traffic
    /// ends up there: TCP and UDP traffic to any port is redirected to `port`.
    pub(crate) fn everything_else_goes_to(&self, name: &str, machine: &Neighbor, port: u16) {
        let ip = machine.ips.first().unwrap_or_else(|| panic!("machine {name} has no address"));
        let run = |namespaces: &Namespaces, program: &str, words: &str| {
            let mut command = Command::new(program);
            command.args(words.split(' '));
            let output = self.node.output(command, namespaces).unwrap();
            assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let route = format!("route replace default via {ip} dev {name} onlink src {}", super::node::NODE_IP);
        run(self.node.namespaces(), "ip", &route);
        run(&machine.namespaces, "ip", "route add local default dev lo table 100");
        run(&machine.namespaces, "ip", "rule add iif eth0 lookup 100");
        let chain = "type nat hook prerouting priority -100 ;";
        let redirect = |protocol: &str| format!("meta l4proto {protocol} redirect to :{port} ;");
        let (tcp, udp) = (redirect("tcp"), redirect("udp"));
        run(&machine.namespaces, "nft", &format!("table ip answers {{ chain incoming {{ {chain} {tcp} {udp} }} ; }}"));
    }

    /// The node's own namespaces.
    pub(crate) fn node_namespaces(&self) -> Namespaces {
        self.node.namespaces().clone()
    }
}
