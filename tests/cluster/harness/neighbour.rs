//! Namespaces beside the node that the API knows nothing of: pods without an object, machines of the outside.

use std::{io, net::IpAddr, process::Command};

use super::{
    cluster::Cluster,
    node::{PodFiles, batch},
    place::Place,
};

/// The node's address on the link to each pod and neighbour, which they send everything to. What the node masquerades
/// arrives from it.
pub(crate) const GATEWAY: &str = "169.254.1.1";

/// A network namespace with a link to the node.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) place: Place,
    /// Its own addresses.
    pub(crate) ips: Vec<IpAddr>,
}

impl Cluster {
    /// A pod that no object stands for, with an address of the pods' range: for endpoints written by hand.
    pub(crate) fn bare_pod(&self, name: &str) -> Neighbour {
        let files = PodFiles { host_name: name.to_owned(), ..PodFiles::default() };
        let (place, ips) = self.node.new_pod(&format!("bare/{name}"), &files).unwrap();
        let ips = ips.iter().filter_map(|ip| ip.parse().ok()).filter(IpAddr::is_ipv4).collect();
        Neighbour { place, ips }
    }

    /// A machine that is no part of the cluster, one hop away from the node, with IPv4 addresses of its own.
    pub(crate) fn outside_machine(&self, name: &str, ips: &[&str]) -> Neighbour {
        let node = &self.node;
        let make = || -> io::Result<Neighbour> {
            let place = node.place().new_inside(|| {
                let mut links =
                    format!("link set lo up\nlink add eth0 type veth peer name {name} netns {}\n", node.pid);
                ips.iter().for_each(|ip| links += &format!("addr add {ip}/32 dev eth0\n"));
                links += &format!("link set eth0 up\nroute add {GATEWAY} dev eth0 scope link\n");
                links += &format!("route add default via {GATEWAY} dev eth0\n");
                batch(&links)
            })?;
            node.place().run(|| {
                let mut links = format!("addr add {GATEWAY}/32 dev {name}\nlink set {name} up\n");
                ips.iter().for_each(|ip| links += &format!("route add {ip}/32 dev {name}\n"));
                batch(&links)
            })?;
            Ok(Neighbour { place, ips: ips.iter().filter_map(|ip| ip.parse().ok()).collect() })
        };
        make().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Sends everything that the node knows no other way for to a machine, and lets that one take it for its own: what
    /// nobody translates gets there. Its TCP and UDP traffic, whatever the port, ends at `port`.
    pub(crate) fn everything_else_goes_to(&self, name: &str, machine: &Neighbour, port: u16) {
        let ip = machine.ips.first().unwrap_or_else(|| panic!("{name} has no address"));
        let run = |place: &Place, program: &str, words: &str| {
            let mut command = Command::new(program);
            command.args(words.split(' '));
            let output = self.node.output(command, place).unwrap();
            assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let route = format!("route replace default via {ip} dev {name} onlink src {}", super::node::NODE_IP);
        run(self.node.place(), "ip", &route);
        run(&machine.place, "ip", "route add local default dev lo table 100");
        run(&machine.place, "ip", "rule add iif eth0 lookup 100");
        let chain = "type nat hook prerouting priority -100 ;";
        let redirect = |protocol: &str| format!("meta l4proto {protocol} redirect to :{port} ;");
        let (tcp, udp) = (redirect("tcp"), redirect("udp"));
        run(&machine.place, "nft", &format!("table ip answers {{ chain incoming {{ {chain} {tcp} {udp} }} ; }}"));
    }

    /// The node's own namespaces.
    pub(crate) fn node_place(&self) -> Place {
        self.node.place().clone()
    }
}
