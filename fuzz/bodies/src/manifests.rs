//! Any manifest is read or rejected, and the proxy decides flows by its objects without a panic. What the API server
//! would accept leads to no endpoint that a pod cannot have.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use discovery_core::policy::SplitMix64;
use discovery_proxy::{
    Config, Flow, IptablesConfig, IpvsConfig, Mode, Proxier, Snapshot,
    object::{EndpointSlice, Endpoints, IpFamily, Node, Service},
    validate::Rules,
};
use k8s_openapi::api::{core::v1, discovery::v1 as discovery};
use serde_json::Value;

use crate::text::loggable;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // JSON is a subset of YAML.
    let Ok(documents) = serde_saphyr::from_multiple::<Value>(text) else { return };
    let mut objects = Objects::default();
    documents.into_iter().for_each(|document| objects.add(document, 0));
    objects.check();
}

/// The objects of a manifest that the proxy reads.
#[derive(Default)]
pub(crate) struct Objects {
    services: Vec<Service>,
    slices: Vec<EndpointSlice>,
    endpoints: Vec<Endpoints>,
    nodes: Vec<Node>,
}

impl Objects {
    pub(crate) fn add_slice(&mut self, slice: &discovery::EndpointSlice) {
        self.slices.push(slice.into());
    }

    fn add(&mut self, document: Value, depth: u8) {
        match document.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "Service" => self.services.extend(serde_json::from_value(document).ok().map(|o: v1::Service| (&o).into())),
            "EndpointSlice" => {
                let slice = serde_json::from_value(document).ok();
                self.slices.extend(slice.map(|slice: discovery::EndpointSlice| (&slice).into()));
            }
            "Endpoints" => {
                self.endpoints.extend(serde_json::from_value(document).ok().map(|o: v1::Endpoints| (&o).into()));
            }
            "Node" => self.nodes.extend(serde_json::from_value(document).ok().map(|o: v1::Node| (&o).into())),
            "List" if depth < 2 => {
                let items = document.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                items.into_iter().for_each(|item| self.add(item, depth + 1));
            }
            _ => {}
        }
    }

    /// Checks all objects as they are, as kube-proxy takes them, and then those that the API server accepts.
    pub(crate) fn check(&self) {
        let rules = Rules::default();
        let (mut services, mut slices) = (Vec::new(), Vec::new());
        for service in &self.services {
            let errors = rules.service(service);
            errors.iter().for_each(|error| loggable(&error.to_string()));
            services.extend(errors.is_empty().then_some(service));
        }
        for slice in &self.slices {
            let errors = rules.endpoint_slice(slice);
            errors.iter().for_each(|error| loggable(&error.to_string()));
            slices.extend(errors.is_empty().then_some(slice));
        }
        for family in [IpFamily::V4, IpFamily::V6] {
            for mode in modes() {
                let mut all = Proxier::new(Config::new(family, mode.clone()));
                self.nodes.iter().for_each(|node| all.apply_node(node));
                self.services.iter().for_each(|service| all.apply_service(service));
                self.slices.iter().for_each(|slice| all.apply_endpoint_slice(slice));
                self.endpoints.iter().for_each(|endpoints| all.apply_endpoints(endpoints));
                decide_all(&mut all, |ip| assert_eq!(IpFamily::from_ip(ip), family));

                let mut valid = Proxier::new(Config::new(family, mode));
                services.iter().for_each(|service| valid.apply_service(service));
                slices.iter().for_each(|slice| valid.apply_endpoint_slice(slice));
                decide_all(&mut valid, |ip| assert!(!cannot_be_of_a_pod(ip), "{ip} is not the address of a pod"));
            }
        }
    }
}

fn modes() -> [Mode; 4] {
    let (iptables, ipvs) = (IptablesConfig::default(), IpvsConfig::default());
    [Mode::Userspace, Mode::Iptables(iptables), Mode::Nftables, Mode::Ipvs(ipvs)]
}

/// Sends a flow to each address of each Service.
fn decide_all(proxier: &mut Proxier, check: impl Fn(IpAddr)) {
    let (now, mut rng) = (Instant::now(), SplitMix64::with_seed(1));
    proxier.sync(now, &mut rng);
    let snapshot: &Snapshot = proxier.snapshot();
    for frontend in snapshot.frontends() {
        assert_ne!(frontend.address.port(), 0);
        let from: IpAddr = match frontend.address {
            SocketAddr::V4(_) => Ipv4Addr::new(203, 0, 113, 7).into(),
            SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into(),
        };
        for endpoint in frontend.port.endpoints() {
            assert_ne!(endpoint.addr.port(), 0, "{endpoint:?}");
            check(endpoint.addr.ip());
        }
        let flow = Flow::new(frontend.protocol, SocketAddr::new(from, 40_000), frontend.address);
        assert!(!snapshot.decide(&flow, now, &mut rng).to_string().is_empty());
    }
}

/// k/k pkg/apis/core/validation/validation.go, `ValidateEndpointIP`: "unspecified", "loopback", "link-local".
fn cannot_be_of_a_pod(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets() == [0; 4] || ip.octets()[0] == 127 || ip.octets().starts_with(&[169, 254]),
        IpAddr::V6(ip) => ip.segments() == [0; 8] || ip == Ipv6Addr::LOCALHOST || ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let classics = include_str!("../../../examples/kube_proxy/classics.yaml");
    let app = include_str!("../../../examples/kubernetes/app.yaml");
    let whole = [classics, app, OBJECTS].map(|text| text.as_bytes().to_vec());
    // Documents alone, in which a change is more likely to hit something that counts.
    let parts = [classics, app, OBJECTS].into_iter().flat_map(|text| text.split("---\n"));
    whole.into_iter().chain(parts.map(|text| text.as_bytes().to_vec())).collect()
}

const OBJECTS: &str = "\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec:
  type: LoadBalancer
  clusterIP: 10.96.7.1
  clusterIPs: [10.96.7.1, 'fd00:96::7']
  ipFamilies: [IPv4, IPv6]
  externalIPs: [192.0.2.7]
  externalTrafficPolicy: Local
  healthCheckNodePort: 30999
  loadBalancerSourceRanges: [198.51.100.0/24, 'fd00::/8']
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}
  ports:
    - {name: http, protocol: TCP, port: 80, targetPort: 8080, nodePort: 30080}
    - {name: dns, protocol: UDP, port: 53, targetPort: dns, nodePort: 30053}
status: {loadBalancer: {ingress: [{ip: 192.0.2.8}, {ip: 192.0.2.9, ipMode: Proxy}, {hostname: lb.example.com}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {name: dns, port: 5353, protocol: UDP}]
endpoints:
  - {addresses: [10.244.0.3], conditions: {ready: true}, nodeName: node0, hints: {forZones: [{name: zone-a}]}}
  - {addresses: [10.244.0.4], conditions: {ready: false, serving: true, terminating: true}}
---
apiVersion: v1
kind: Endpoints
metadata: {namespace: shop, name: web}
subsets: [{addresses: [{ip: 10.244.0.3}], notReadyAddresses: [{ip: 10.244.0.4}], ports: [{name: http, port: 8080}]}]
---
apiVersion: v1
kind: Node
metadata: {name: node0, labels: {topology.kubernetes.io/zone: zone-a}}
status: {addresses: [{type: InternalIP, address: 172.31.255.1}, {type: Hostname, address: node0}]}
";
