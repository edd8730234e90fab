//! Converts objects as the API server of Kubernetes 1.36 writes them.

use k8s_openapi::{
    api::{core::v1, discovery::v1 as discovery},
    serde::de::DeserializeOwned,
};

use crate::object::*;

fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn service(json: &str) -> Service {
    Service::from(&read::<v1::Service>(json))
}

#[test]
fn converts_all_fields_of_a_service() {
    let service = service(
        r#"{
  "apiVersion": "v1", "kind": "Service",
  "metadata": {"namespace": "shop", "name": "web", "uid": "0b0e3a9c-6f52-4f27-8d42-0f5a8f3f7d07", "resourceVersion": "231"},
  "spec": {
    "allocateLoadBalancerNodePorts": true,
    "clusterIP": "10.96.7.1", "clusterIPs": ["10.96.7.1", "fd00:96::7"],
    "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
    "externalIPs": ["192.0.2.7"], "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
    "healthCheckNodePort": 30999, "loadBalancerIP": "192.0.2.9",
    "loadBalancerSourceRanges": ["198.51.100.0/24", " 203.0.113.0/24"],
    "ports": [
      {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 30080, "appProtocol": "http"},
      {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": "dns"},
      {"name": "sctp", "protocol": "SCTP", "port": 9}
    ],
    "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
    "trafficDistribution": "PreferSameZone", "type": "LoadBalancer"
  },
  "status": {"loadBalancer": {"ingress": [
    {"ip": "192.0.2.8", "ipMode": "VIP"}, {"ip": "192.0.2.9", "ipMode": "Proxy"}, {"hostname": "lb.example.com"}
  ]}}
}"#,
    );
    let port = |name: &str, protocol, port, node_port, target_port: &str| ServicePort {
        name: name.into(),
        protocol,
        port,
        node_port,
        target_port: target_port.into(),
    };
    let ingress =
        |ip: &str, hostname: &str, ip_mode| LoadBalancerIngress { ip: ip.into(), hostname: hostname.into(), ip_mode };
    assert_eq!(
        service,
        Service {
            namespace: "shop".into(),
            name: "web".into(),
            service_type: ServiceType::LoadBalancer,
            cluster_ip: "10.96.7.1".into(),
            cluster_ips: vec!["10.96.7.1".into(), "fd00:96::7".into()],
            ip_families: vec![IpFamily::V4, IpFamily::V6],
            ports: vec![
                port("http", Protocol::Tcp, 80, 30080, "8080"),
                port("dns", Protocol::Udp, 53, 0, "dns"),
                port("sctp", Protocol::Sctp, 9, 0, ""),
            ],
            external_ips: vec!["192.0.2.7".into()],
            external_name: String::new(),
            external_traffic_policy: TrafficPolicy::Local,
            internal_traffic_policy: TrafficPolicy::Cluster,
            session_affinity: Affinity::ClientIp,
            session_affinity_timeout: Some(10),
            load_balancer_ip: "192.0.2.9".into(),
            load_balancer_source_ranges: vec!["198.51.100.0/24".into(), " 203.0.113.0/24".into()],
            load_balancer_ingress: vec![
                ingress("192.0.2.8", "", Some(IpMode::Vip)),
                ingress("192.0.2.9", "", Some(IpMode::Proxy)),
                ingress("", "lb.example.com", None),
            ],
            health_check_node_port: 30999,
        }
    );
}

#[test]
fn uses_defaults_for_absent_service_fields() {
    let bare = service(r#"{"metadata": {"namespace": "shop", "name": "web"}}"#);
    assert_eq!(bare, Service { namespace: "shop".into(), name: "web".into(), ..Service::default() });
    let spec = r#"{"metadata": {"namespace": "shop", "name": "web"}, "spec": {"ports": [{"port": 80}]}}"#;
    let ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
    assert_eq!(service(spec), Service { ports, ..bare });
}

#[test]
fn recognizes_headless_and_external_name_services() {
    let headless = service(
        r#"{"metadata": {"namespace": "shop", "name": "db"},
            "spec": {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"],
                     "internalTrafficPolicy": "Local", "sessionAffinity": "None"}}"#,
    );
    assert_eq!((headless.cluster_ip.as_str(), headless.session_affinity), ("None", Affinity::None));
    assert_eq!(headless.internal_traffic_policy, TrafficPolicy::Local);
    let alias = service(
        r#"{"metadata": {"namespace": "shop", "name": "out"},
            "spec": {"type": "ExternalName", "externalName": "db.example.com", "sessionAffinity": "None"}}"#,
    );
    assert_eq!((alias.service_type, alias.external_name.as_str()), (ServiceType::ExternalName, "db.example.com"));
    let node_port = service(r#"{"metadata": {}, "spec": {"type": "NodePort"}}"#);
    assert_eq!((node_port.service_type, node_port.namespace.as_str()), (ServiceType::NodePort, ""));
}

#[test]
fn omits_ports_with_an_unknown_protocol() {
    let ports = r#"[{"port": 1, "protocol": "DCCP"}, {"port": 2, "protocol": "UDP"}]"#;
    let service = service(&format!(r#"{{"metadata": {{}}, "spec": {{"ports": {ports}}}}}"#));
    assert_eq!(service.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [2]);
}

#[test]
fn converts_all_fields_of_a_slice() {
    let slice = EndpointSlice::from(&read::<discovery::EndpointSlice>(
        r#"{
  "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
  "metadata": {"namespace": "shop", "name": "web-x7k2p", "labels": {
    "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
  "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "", "port": 53, "protocol": "UDP"}, {"port": 1}, {"name": "any"}],
  "endpoints": [
    {"addresses": ["10.244.0.3"], "conditions": {"ready": true, "serving": true, "terminating": false},
     "nodeName": "node0", "zone": "zone-a", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1"},
     "hints": {"forZones": [{"name": "zone-a"}, {"name": "zone-b"}], "forNodes": [{"name": "node0"}]}},
    {"addresses": ["10.244.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}},
    {"addresses": ["10.244.0.5"], "conditions": {}}
  ]
}"#,
    ));
    let port = |name: Option<&str>, protocol, port| SlicePort { name: name.map(str::to_owned), protocol, port };
    let with = |ready, serving, terminating| Conditions { ready, serving, terminating };
    let (yes, no) = (Some(true), Some(false));
    let endpoint =
        |ip: &str, conditions| SliceEndpoint { addresses: vec![ip.into()], conditions, ..SliceEndpoint::default() };
    assert_eq!(slice.service_name(), Some("web"));
    assert_eq!((slice.namespace.as_str(), slice.name.as_str()), ("shop", "web-x7k2p"));
    assert_eq!(
        slice.ports,
        [
            port(Some("http"), Protocol::Tcp, Some(8080)),
            port(Some(""), Protocol::Udp, Some(53)),
            port(None, Protocol::Tcp, Some(1)),
            port(Some("any"), Protocol::Tcp, None),
        ],
        "a missing name is not the empty name"
    );
    let hints = Hints { for_zones: vec!["zone-a".into(), "zone-b".into()], for_nodes: vec!["node0".into()] };
    assert_eq!(
        slice.endpoints,
        [
            SliceEndpoint {
                node_name: Some("node0".into()),
                zone: Some("zone-a".into()),
                hints: Some(hints),
                ..endpoint("10.244.0.3", with(yes, yes, no))
            },
            endpoint("10.244.0.4", with(no, yes, yes)),
            endpoint("10.244.0.5", Conditions::default()),
        ]
    );
}

#[test]
fn keeps_the_address_type_of_an_empty_slice() {
    let kind = |address_type: &str| {
        let json =
            format!(r#"{{"metadata": {{}}, "addressType": "{address_type}", "endpoints": null, "ports": null}}"#);
        let slice = EndpointSlice::from(&read::<discovery::EndpointSlice>(&json));
        assert!(slice.endpoints.is_empty() && slice.ports.is_empty());
        slice.address_type
    };
    assert_eq!(["IPv4", "IPv6", "FQDN"].map(kind), [AddressType::V4, AddressType::V6, AddressType::Fqdn]);
}

#[test]
fn converts_endpoints_to_mirrored_slices() {
    let endpoints = Endpoints::from(&read::<v1::Endpoints>(
        r#"{"metadata": {"namespace": "shop", "name": "web"}, "subsets": [{
            "addresses": [{"ip": "10.244.0.3", "nodeName": "node0"}], "notReadyAddresses": [{"ip": "10.244.0.4"}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}]}"#,
    ));
    let slices = endpoints.to_slices();
    let [slice] = slices.as_slice() else { panic!("{slices:?}") };
    assert_eq!(slice.service_name(), Some("web"));
    let endpoints: Vec<_> =
        slice.endpoints.iter().map(|one| (one.addresses.as_slice(), one.conditions.ready)).collect();
    assert_eq!(endpoints, [(&["10.244.0.3".to_owned()][..], Some(true)), (&["10.244.0.4".to_owned()], Some(false))]);
    assert_eq!(slice.endpoints[0].node_name.as_deref(), Some("node0"));
    let ports: Vec<_> = slice.ports.iter().map(|port| (port.name.as_deref(), port.protocol, port.port)).collect();
    assert_eq!(ports, [(Some("http"), Protocol::Tcp, Some(8080)), (Some(""), Protocol::Udp, Some(53))]);
}

#[test]
fn puts_internal_node_addresses_first() {
    let node = Node::from(&read::<v1::Node>(
        r#"{"metadata": {"name": "node0", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
            "status": {"addresses": [{"type": "Hostname", "address": "node0"}, {"type": "ExternalIP", "address": "192.0.2.1"},
                                     {"type": "InternalIP", "address": "172.31.255.1"}]}}"#,
    ));
    assert_eq!(node.name, "node0");
    assert_eq!(node.labels.get(ZONE_LABEL).map(String::as_str), Some("zone-a"));
    assert_eq!(node.addresses, ["172.31.255.1", "192.0.2.1"]);
}
