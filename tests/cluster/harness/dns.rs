//! CoreDNS, in pods that the harness starts itself, without the kubelet.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RecordType},
};
use kube::Client;
use serde_json::json;
use tokio::{net::UdpSocket, time::timeout};

use super::{
    Fallible,
    keys::{ADMIN_TOKEN, Keys},
    namespaces::Namespaces,
    node::{FOLDER, NODE_IP, Node, PodFiles},
    programs::Programs,
};

/// The virtual address in every pod's `resolv.conf`.
pub(crate) const VIRTUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)), 53);

/// The replicas.
#[derive(Debug)]
pub(super) struct Dns {
    pods: Vec<(Namespaces, String)>,
    program: std::path::PathBuf,
}

impl Dns {
    pub(super) fn new(node: &Node, programs: &Programs, keys: &Keys, replicas: usize) -> Fallible<Self> {
        let server = "https://NODE:6443".replace("NODE", NODE_IP);
        let config = KUBECONFIG.replace("SERVER", &server).replace("FOLDER", FOLDER).replace("TOKEN", ADMIN_TOKEN);
        fs::write(node.path(format!("{FOLDER}/dns.kubeconfig")), config)?;
        let corefile = COREFILE.replace("FOLDER", FOLDER).replace("NODE", NODE_IP);
        fs::write(node.path(format!("{FOLDER}/Corefile")), corefile)?;
        let mut pods = Vec::new();
        for at in 0..replicas {
            let files = PodFiles {
                resolv_conf: "nameserver 127.0.0.1\n".to_owned(),
                host_name: format!("coredns-{at}"),
                service_account: vec![("ca.crt", keys.authority.clone())],
            };
            let (namespaces, ips) = node.new_pod(&format!("kube-system/coredns-{at}"), &files)?;
            pods.push((namespaces, ips.into_iter().next().unwrap_or_default()));
        }
        Ok(Self { pods, program: programs.path("coredns") })
    }

    /// The replicas' names, places and command lines.
    pub(super) fn commands(&self) -> Vec<(String, Namespaces, impl Fn() -> Command + Send + 'static)> {
        let one = |(at, (namespaces, _)): (usize, &(Namespaces, String))| {
            let program = self.program.clone();
            let command = move || {
                let mut command = Command::new(&program);
                command.args(["-conf", &format!("{FOLDER}/Corefile")]);
                command
            };
            (format!("coredns-{at}"), namespaces.clone(), command)
        };
        self.pods.iter().enumerate().map(one).collect()
    }

    /// The first replica's own address.
    pub(super) fn first(&self) -> SocketAddr {
        let ip = self.pods.first().and_then(|(_, ip)| ip.parse().ok());
        SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 53)
    }

    /// Creates the Service whose address is in every pod's `resolv.conf`.
    pub(super) async fn declare(&self, client: &Client) -> Fallible<()> {
        let ports = |target: bool| {
            let port = |name: &str, protocol: &str, number: u16| {
                let mut port = json!({"name": name, "protocol": protocol, "port": number});
                if target {
                    port["targetPort"] = json!(number);
                }
                port
            };
            json!([port("dns", "UDP", 53), port("dns-tcp", "TCP", 53), port("metrics", "TCP", 9153)])
        };
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": "kube-system", "name": "kube-dns"},
            "spec": {"clusterIP": VIRTUAL.ip(), "ports": ports(true)},
        });
        let endpoints: Vec<_> = self.pods.iter().map(|(_, ip)| json!({"addresses": [ip]})).collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": "kube-system", "name": "kube-dns",
                "labels": {
                    "kubernetes.io/service-name": "kube-dns",
                    "endpointslice.kubernetes.io/managed-by": "tests",
                },
            },
            "addressType": "IPv4", "ports": ports(false), "endpoints": endpoints,
        });
        super::api::apply(client, &service, false).await?;
        super::api::apply(client, &slice, false).await
    }
}

/// Completes once the server answers for the cluster's zone.
pub(super) async fn answers(server: SocketAddr) {
    while !matches!(timeout(Duration::from_millis(250), ask(server)).await, Ok(Ok(ResponseCode::NoError))) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(server: SocketAddr) -> Fallible<ResponseCode> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii("kubernetes.default.svc.cluster.local.")?, RecordType::A));
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.send_to(&message.to_vec()?, server).await?;
    let mut answer = [0; 1232];
    let length = socket.recv(&mut answer).await?;
    Ok(Message::from_vec(&answer[..length])?.metadata.response_code)
}

/// The questions that a replica has logged. The `log` plugin writes `"A IN orders.shop.svc.cluster.local. udp ..."`.
pub(super) fn logged(node: &Node, name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(node.log_path(name)).unwrap_or_default();
    let question = |line: &str| {
        let mut words = line.split_once('"')?.1.split(' ');
        let (rtype, class, name) = (words.next()?, words.next()?, words.next()?);
        (class == "IN").then(|| (name.to_owned(), rtype.to_owned()))
    };
    text.lines().filter_map(question).collect()
}

/// The addresses of `legacy.cluster.local`, a name inside the cluster domain that is not a Service.
pub(crate) const IN_COREFILE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10))];

/// kubeadm's Corefile without the cache (kubeadm does not cache the cluster's zone either), with the `log` plugin, and
/// with a name of [`IN_COREFILE`].
const COREFILE: &str = "\
.:53 {
    errors
    log
    prometheus :9153
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig FOLDER/dns.kubeconfig
        pods insecure
        ttl 5
    }
    hosts {
        192.0.2.10 legacy.cluster.local
        2001:db8::10 legacy.cluster.local
        ttl 5
        fallthrough
    }
    forward . NODE:5300
    loadbalance
}
";

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: 'SERVER', certificate-authority: FOLDER/ca.crt}}]
users: [{name: admin, user: {token: TOKEN}}]
contexts: [{name: here, context: {cluster: here, user: admin}}]
current-context: here
";
