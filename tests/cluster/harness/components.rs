//! The command lines of the control plane's programs.

use std::process::Command;

use super::{
    node::{FOLDER, NODE_IP},
    options::{Options, ProxyMode},
    programs::Programs,
};

/// The name of the only node.
pub(crate) const NODE_NAME: &str = "node0";

pub(crate) fn etcd(programs: &Programs) -> Command {
    let mut command = Command::new(programs.path("etcd"));
    // The folder is in memory, so there is nothing to sync.
    command.args(["--unsafe-no-fsync", "--name", "etcd", "--log-level", "warn"]);
    command.args(["--data-dir", &format!("{FOLDER}/etcd")]);
    command.args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    command
}

pub(crate) fn apiserver(programs: &Programs, options: &Options) -> Command {
    let mut command = Command::new(programs.path("kube-apiserver"));
    command.args(["--etcd-servers", ETCD, "--secure-port", "6443", "--advertise-address", NODE_IP]);
    command.args(["--service-cluster-ip-range", service_range(options)]);
    command.args(["--authorization-mode", "RBAC"]);
    command.args(["--service-account-issuer", "https://kubernetes.default.svc.cluster.local"]);
    for (flag, file) in [
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("service-account-key-file", "accounts.pub"),
        ("service-account-signing-key-file", "accounts.key"),
        ("token-auth-file", "tokens.csv"),
        ("cert-dir", "certificates"),
    ] {
        command.arg(format!("--{flag}={FOLDER}/{file}"));
    }
    // Pods may be created before the controllers create the namespace's service account; storage is not simulated.
    command.args(["--disable-admission-plugins", "ServiceAccount,DefaultStorageClass,StorageObjectInUseProtection"]);
    with_gates(command, options)
}

pub(crate) fn controller_manager(programs: &Programs, options: &Options) -> Command {
    let mut command = Command::new(programs.path("kube-controller-manager"));
    command.args(["--leader-elect=false", "--kubeconfig", &format!("{FOLDER}/kubeconfig")]);
    command.arg(format!("--service-account-private-key-file={FOLDER}/accounts.key"));
    command.arg(format!("--root-ca-file={FOLDER}/ca.crt"));
    // Our kubelet sends no heartbeats, so this controller would give up the node and take its pods out of every slice.
    command.arg("--controllers=*,-node-lifecycle-controller");
    // Tests create hundreds of objects at once.
    command.args(["--kube-api-qps", "500", "--kube-api-burst", "1000"]);
    with_gates(command, options)
}

/// The command of kube-proxy, or `None` if the cluster has none.
pub(crate) fn proxy(programs: &Programs, options: &Options) -> Option<Command> {
    let mode = match options.proxy {
        ProxyMode::Nftables => "nftables",
        ProxyMode::Iptables => "iptables",
        ProxyMode::None => return None,
    };
    let mut command = Command::new(programs.path("kube-proxy"));
    command.args(["--proxy-mode", mode, "--hostname-override", NODE_NAME]);
    command.args(["--kubeconfig", &format!("{FOLDER}/kubeconfig")]);
    command
        .args(["--cluster-cidr", if options.dual_stack { "10.244.0.0/16,fd00:10:244::/64" } else { "10.244.0.0/16" }]);
    // Leave the machine's conntrack limits alone.
    command.args(["--conntrack-max-per-core", "0", "--conntrack-min", "0"]);
    command.args(options.proxy_flags);
    Some(with_gates(command, options))
}

fn with_gates(mut command: Command, options: &Options) -> Command {
    if !options.feature_gates.is_empty() {
        command.args(["--feature-gates", &options.feature_gates.join(",")]);
    }
    command
}

fn service_range(options: &Options) -> &'static str {
    if options.dual_stack { "10.96.0.0/16,fd00:96::/112" } else { "10.96.0.0/16" }
}

const ETCD: &str = "http://127.0.0.1:2379";
