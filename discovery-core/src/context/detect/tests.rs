use super::*;

/// The inputs of detection, as texts.
#[derive(Clone, Copy, Default)]
struct TestInputs<'a> {
    explicit: Option<&'a str>,
    setting: Option<&'a str>,
    vars: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
    resolv_conf: &'a str,
}

impl TestInputs<'_> {
    fn context(self) -> Result<Context, Error> {
        let with = |namespace: Option<&str>| Settings {
            namespace: namespace.map(|text| Namespace::new(text).expect(text)),
            ..Settings::default()
        };
        let vars = self.vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let resolv_conf = ResolvConf::parse(self.resolv_conf);
        let around = Inputs::new(&vars, self.file, &resolv_conf);
        Context::detect(&with(self.explicit), &with(self.setting), &around)
    }

    /// The namespace and the cluster domain, `-` where unknown.
    fn scope(self) -> (String, String) {
        let scope = self.context().expect("context").scope;
        let namespace = scope.namespace.map_or("-".to_owned(), |namespace| namespace.to_string());
        (namespace, scope.cluster_domain.map_or("-".to_owned(), |domain| domain.to_string()))
    }
}

const POD: &str =
    "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";

#[test]
fn detects_namespace_and_domain_in_resolv_conf() {
    for (case, resolv_conf, namespace, domain) in [
        ("ClusterFirst", POD, "shop", "cluster.local"),
        ("hostNetwork falls back to the node's", "search eu.internal\nnameserver 169.254.169.253\n", "-", "-"),
        ("empty --resolv-conf", "search .\nnameserver 127.0.0.1\n", "-", "-"),
        ("no file", "", "-", "-"),
        (
            "dnsConfig and the node's entries around",
            "search corp.example cluster.local other.example svc.cluster.local shop.svc.cluster.local",
            "shop",
            "cluster.local",
        ),
        ("custom domain", "search shop.svc.k8s.corp.eu svc.k8s.corp.eu k8s.corp.eu corp.eu", "shop", "k8s.corp.eu"),
        ("domain of one label", "search shop.svc.k8s svc.k8s k8s", "shop", "k8s"),
        ("the domain itself was cut", "search shop.svc.cluster.local svc.cluster.local", "shop", "cluster.local"),
        ("without the namespace", "search svc.k8s.example.com k8s.example.com", "-", "k8s.example.com"),
        ("without the namespace, in another order", "search corp.eu k8s svc.k8s", "-", "k8s"),
        (
            "without the namespace, behind a node's",
            "search svc.corp.example svc.k8s.corp.eu k8s.corp.eu corp.eu",
            "-",
            "k8s.corp.eu",
        ),
        (
            "the namespace is better evidence than the domain",
            "search svc.a.example a.example shop.svc.b.example svc.b.example",
            "shop",
            "b.example",
        ),
        ("a node's `svc.` entry alone", "search svc.corp.example example", "-", "-"),
        ("a namespaced entry alone", "search shop.svc.corp.example corp.example", "-", "-"),
        ("not one label", "search a.b.svc.corp.example svc.corp.example", "-", "-"),
        (
            "a node's wildcard domain behind",
            "search shop.svc.cluster.local svc.cluster.local cluster.local svc.wild.example wild.example",
            "shop",
            "cluster.local",
        ),
        (
            "two qualify, one is listed in full",
            "search x.svc.a.example svc.a.example shop.svc.b.example svc.b.example b.example",
            "shop",
            "b.example",
        ),
        ("final dots, case, line ends", "SEARCH no\r\nsearch Shop.SVC.X.Y. svc.x.y. x.y.\r\n", "shop", "x.y"),
    ] {
        let scope = TestInputs { resolv_conf, ..TestInputs::default() }.scope();
        assert_eq!(scope, (namespace.to_owned(), domain.to_owned()), "{case}");
    }
}

#[test]
fn the_namespace_comes_from_the_first_origin_that_has_one() {
    let all = TestInputs {
        explicit: Some("one"),
        setting: Some("two"),
        vars: &[("POD_NAMESPACE", "three")],
        file: Some("four\n"),
        resolv_conf: POD,
    };
    let origin = |inputs: TestInputs<'_>| inputs.context().expect("context").origins[0].to_string();
    assert_eq!(origin(all), "own namespace: one (set in code)");
    let inputs = TestInputs { explicit: None, ..all };
    assert_eq!(origin(inputs), "own namespace: two (DISCOVERY_NAMESPACE)");
    let inputs = TestInputs { setting: None, ..inputs };
    assert_eq!(origin(inputs), "own namespace: three (POD_NAMESPACE)");
    let inputs = TestInputs { vars: &[("POD_NAMESPACE", " ")], ..inputs };
    assert_eq!(origin(inputs), "own namespace: four (/var/run/secrets/kubernetes.io/serviceaccount/namespace)");
    for file in [None, Some(" \n")] {
        let inputs = TestInputs { file, ..inputs };
        assert_eq!(origin(inputs), "own namespace: shop (search list of resolv.conf)");
    }
    let nowhere = origin(TestInputs::default());
    assert!(nowhere.contains("unknown") && nowhere.contains("POD_NAMESPACE"), "{nowhere}");
}

#[test]
fn an_invalid_namespace_is_an_error_only_if_it_is_needed() {
    let variable = TestInputs { vars: &[("POD_NAMESPACE", "My_NS")], ..TestInputs::default() };
    let error = variable.context().expect_err("underscore");
    assert!(error.is_config(), "{error:?}");
    assert!(error.to_string().starts_with("POD_NAMESPACE is `My_NS`: '_' is not allowed in a label"), "{error}");
    assert_eq!(TestInputs { explicit: Some("shop"), ..variable }.scope().0, "shop", "not read");
    let error = TestInputs { file: Some("a.b"), ..TestInputs::default() }.context().expect_err("dot");
    assert!(error.is_config() && error.to_string().contains("serviceaccount/namespace is `a.b`"), "{error}");
}

#[test]
fn a_domain_that_is_set_is_not_detected() {
    let set = Settings { cluster_domain: ClusterDomain::new("corp.example").ok(), ..Settings::default() };
    let (vars, resolv_conf) = (BTreeMap::new(), ResolvConf::parse(POD));
    let around = Inputs::new(&vars, None, &resolv_conf);
    for (explicit, settings, place) in
        [(&set, &Settings::default(), "set in code"), (&Settings::default(), &set, "DISCOVERY_CLUSTER_DOMAIN")]
    {
        let context = Context::detect(explicit, settings, &around).expect("context");
        assert_eq!(context.scope, Scope::new(None, set.cluster_domain.clone()), "the search list has another domain");
        assert_eq!(context.origins[1].to_string(), format!("cluster domain: corp.example ({place})"));
    }
}

#[test]
fn settings_override_nameservers_and_options_of_resolv_conf() {
    let vars = BTreeMap::new();
    let resolv_conf = ResolvConf::parse("nameserver 10.96.0.10\noptions timeout:2 attempts:3 use-vc");
    let around = Inputs::new(&vars, None, &resolv_conf);
    let file = Context::detect(&Settings::default(), &Settings::default(), &around).expect("context");
    assert_eq!(file.nameservers, resolv_conf.nameservers);
    assert_eq!(file.origins[2].to_string(), "nameservers: 10.96.0.10:53 (resolv.conf)");
    let all = DnsOptions { timeout: Some(Duration::from_secs(2)), attempts: Some(3), in_flight: None, tcp: true };
    assert_eq!(file.options, all);
    let settings = Settings {
        nameservers: Some(vec![([127, 0, 0, 1], 5353).into()]),
        dns_tcp: Some(false),
        dns_attempts: Some(1),
        ..Settings::default()
    };
    let set = Context::detect(&Settings::default(), &settings, &around).expect("context");
    assert_eq!(set.origins[2].to_string(), "nameservers: 127.0.0.1:5353 (DISCOVERY_NAMESERVERS)");
    assert_eq!(set.options, DnsOptions { attempts: Some(1), tcp: false, ..all });
    let mapped = ["[::ffff:127.0.0.1]:5353", "[fe80::1%3]:53"].map(|addr| addr.parse().expect(addr));
    let explicit = Settings { nameservers: Some(mapped.into()), ..Settings::default() };
    let in_code = Context::detect(&explicit, &settings, &around).expect("context");
    assert_eq!(in_code.origins[2].to_string(), "nameservers: 127.0.0.1:5353, [fe80::1%3]:53 (set in code)");
    let local = TestInputs::default().context().expect("context");
    assert_eq!(local.origins[2].to_string(), "nameservers: 127.0.0.1:53, [::1]:53 (resolv.conf)");
    let no_file = ResolvConf::default();
    let around = Inputs::new(&vars, None, &no_file);
    let none = Context::detect(&Settings::default(), &Settings::default(), &around).expect("context");
    assert_eq!(none.origins[2].to_string(), "nameservers: none (resolv.conf)");
}

#[test]
fn families_come_from_the_setting_or_pod_ips() {
    let families = |vars| {
        let context = TestInputs { vars, ..TestInputs::default() }.context().expect("context");
        (context.families, context.origins[3].answer.clone())
    };
    assert_eq!(families(&[("POD_IPS", "10.0.0.1,fd00::1")]), (Some(Families::Both), "both (POD_IPS)".to_owned()));
    assert_eq!(families(&[]).0, None);
    let no_aaaa =
        TestInputs { vars: &[("POD_IPS", "fd00::1")], resolv_conf: "options no-aaaa", ..TestInputs::default() };
    let context = no_aaaa.context().expect("context");
    assert_eq!(context.origins[3].to_string(), "address families: ipv4 (no-aaaa in resolv.conf)");
    let strange = families(&[("POD_IPS", "$(IPS)")]);
    assert!(strange.0.is_none() && strange.1.contains("`$(IPS)`"), "{strange:?}");
    let set = Settings { families: Some(Families::V4), ..Settings::default() };
    let vars = BTreeMap::from([("POD_IPS".to_owned(), "fd00::1".to_owned())]);
    let resolv_conf = ResolvConf::default();
    let around = Inputs::new(&vars, None, &resolv_conf);
    let context = Context::detect(&Settings::default(), &set, &around).expect("context");
    assert_eq!(context.origins[3].to_string(), "address families: ipv4 (DISCOVERY_IP_FAMILIES)");
}
