//! Objects as the API server writes them, with many fields that the source skips.

/// A Service. `cluster_ip` may be `None`, and a `type` may follow it after a blank.
pub(crate) fn service(name: &str, cluster_ip: &str, ports: &[(&str, u16)]) -> String {
    let (cluster_ip, kind) = cluster_ip.split_once(' ').unwrap_or((cluster_ip, "ClusterIP"));
    let port = |(name, number): &(&str, u16)| {
        format!(r#"{{"name":"{name}","protocol":"TCP","port":{number},"targetPort":{number}}}"#)
    };
    let ports: Vec<String> = ports.iter().map(port).collect();
    format!(
        r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"@","labels":{{"app":"{name}"}},"managedFields":[{{"manager":"kubectl","fieldsV1":{{"f:spec":{{}}}}}}]}},"spec":{{"ports":[{}],"clusterIP":"{cluster_ip}","type":"{kind}","ipFamilies":["IPv4"],"sessionAffinity":"None"}},"status":{{"loadBalancer":{{}}}}}}"#,
        ports.join(",")
    )
}

/// An IPv4 slice with one port. `!` after an address means not ready, `~` means terminating and serving.
pub(crate) fn slice(name: &str, service: &str, port: (&str, u16), addresses: &[&str]) -> String {
    let endpoint = |text: &&str| {
        let (address, conditions) = match text.strip_suffix(['!', '~']) {
            None => (*text, r#"{"ready":true,"serving":true,"terminating":false}"#),
            Some(address) if text.ends_with('!') => (address, r#"{"ready":false,"serving":false}"#),
            Some(address) => (address, r#"{"ready":false,"serving":true,"terminating":true}"#),
        };
        format!(
            r#"{{"addresses":["{address}"],"conditions":{conditions},"nodeName":"node-1","zone":"zone-a","hints":{{"forZones":[{{"name":"zone-a"}}]}},"targetRef":{{"kind":"Pod","namespace":"shop","name":"pod-{address}","uid":"8b32c7f8-0d7d-4a53-8a2c-{address:0>12}"}}}}"#
        )
    };
    let endpoints: Vec<String> = addresses.iter().map(endpoint).collect();
    format!(
        r#"{{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"@","labels":{{"kubernetes.io/service-name":"{service}"}},"managedFields":[{{"manager":"kube-controller-manager"}}]}},"addressType":"IPv4","endpoints":[{}],"ports":[{{"name":"{}","protocol":"TCP","port":{}}}]}}"#,
        endpoints.join(","),
        port.0,
        port.1
    )
}
