//! Manifests that a small control plane could misread.

use discovery_proxy::{Flow, IptablesConfig, Mode};

use super::{
    cluster::Cluster,
    manifests::{self, File, Manifests},
    options::{Node, Options, Task},
};

fn read(text: &str) -> Result<Manifests, String> {
    manifests::read(&[File { name: "web.yaml".into(), text: text.into() }]).map_err(|error| error.to_string())
}

fn run(text: &str) -> Result<Cluster, String> {
    let mode = Mode::Iptables(IptablesConfig::default());
    Cluster::run(read(text)?, &Options { files: Vec::new(), mode, node: Node::A, task: Task::Reach })
}

fn fault(text: &str) -> String {
    run(text).err().expect("an error")
}

const SERVICE: &str = "{kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}}";

/// How many endpoints a flow to `SERVICE` may go to.
fn endpoints(text: &str) -> usize {
    let cluster = run(text).expect("a cluster");
    let flow = Flow::tcp(([10, 244, 1, 7], 40_000).into(), ([10, 96, 0, 10], 80).into());
    cluster.snapshot.lookup(&flow).expect("a Service port").usable().cluster.len()
}

#[test]
fn slice_port_without_a_name_has_the_empty_name() {
    let slice = "{kind: EndpointSlice, metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, \
                 addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [10.244.2.3]}]}";
    assert_eq!(endpoints(&format!("{SERVICE}\n---\n{slice}")), 1);
}

#[test]
fn misspelt_values_are_errors_all_at_once() {
    let text = "{kind: Service, metadata: {name: web}, spec: {type: Loadbalancer, externalTrafficPolicy: local, \
                ipFamilies: [ipv4], ports: [{port: 80, protocol: tcp}]}}";
    let error = fault(&format!("{SERVICE}\n---\n{text}"));
    let fields = ["spec.type", "spec.externalTrafficPolicy", "spec.ipFamilies[0]", "spec.ports[0].protocol"];
    for field in fields {
        let line = format!("web.yaml, document 2: Service `web`: {field}: Unsupported value");
        assert!(error.contains(&line), "{line}: {error}");
    }
}

#[test]
fn slices_are_validated() {
    let slice = "{kind: EndpointSlice, metadata: {name: web-1}, addressType: IPv4, ports: [{port: 99999}], \
                 endpoints: [{addresses: [127.0.0.1]}]}";
    let error = fault(slice);
    assert!(error.contains("document 1: EndpointSlice `web-1`: ports[0].port: Invalid value: 99999"), "{error}");
    assert!(error.contains("endpoints[0].addresses[0]"), "{error}");
}

#[test]
fn same_object_twice_updates_it() {
    let second = SERVICE.replace("port: 80", "port: 81");
    let manifests = read(&format!("{SERVICE}\n---\n{second}")).expect("manifests");
    let ports: Vec<_> = manifests.services.iter().flat_map(|(one, _)| &one.ports).map(|port| port.port).collect();
    assert_eq!(ports, [81]);
}

#[test]
fn endpoints_beside_a_selector_are_not_mirrored() {
    let endpoints_of = "{kind: Endpoints, metadata: {name: web}, subsets: [{addresses: [{ip: 10.244.9.9}], \
                        ports: [{port: 8080}]}]}";
    assert_eq!(endpoints(&format!("{SERVICE}\n---\n{endpoints_of}")), 1);
    let selecting = SERVICE.replace("spec: {", "spec: {selector: {app: web}, ");
    assert_eq!(endpoints(&format!("{selecting}\n---\n{endpoints_of}")), 0);
}

#[test]
fn named_node_ports_and_addresses_are_reserved_first_and_duplicates_are_errors() {
    let named = |name: &str, rest: &str| format!("{{kind: Service, metadata: {{name: {name}}}, spec: {{{rest}}}}}");
    let first = named("a", "type: NodePort, ports: [{port: 80}]");
    let second = named("b", "type: NodePort, ports: [{port: 80, nodePort: 30200}]");
    let cluster = run(&format!("{first}\n---\n{second}")).expect("a cluster");
    let ports: Vec<_> = cluster.services.iter().flat_map(|one| &one.ports).map(|port| port.node_port).collect();
    assert_eq!(ports, [30201, 30200]);
    let third = named("c", "type: NodePort, ports: [{port: 80, nodePort: 30200}]");
    let error = fault(&format!("{second}\n---\n{third}"));
    assert!(
        error.contains("Service `default/c`: nodePort: 30200 is already a node port of Service `default/b`"),
        "{error}"
    );
    let error = fault(&format!("{SERVICE}\n---\n{}", SERVICE.replace("name: web", "name: api")));
    assert!(error.contains("10.96.0.10 is already the address of Service `default/web`"), "{error}");
}

#[test]
fn lists_of_a_kind_are_read_and_an_empty_file_says_so() {
    let list = format!("{{kind: ServiceList, items: [{}]}}", SERVICE.replace("kind: Service, ", ""));
    assert_eq!(read(&list).expect("manifests").services.len(), 1);
    let wrong = "{kind: List, items: [{kind: Service, spec: {type: A}}, {kind: Service, spec: {type: B}}]}";
    let error = fault(wrong);
    assert!(error.contains("\"A\"") && error.contains("\"B\""), "{error}");
    assert!(fault("# nothing\n").contains("web.yaml: the file has no object"));
}
