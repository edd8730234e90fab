//! The programs of a cluster, and the message if one is missing.

use std::{
    env, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Once,
};

use nix::sched::{CloneFlags, unshare};

use super::namespaces::on_thread;

/// The programs of a control plane.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the programs that `tests/cluster/build` builds. The error says what is missing and how to get it.
    pub(crate) fn find() -> Result<Self, String> {
        let folder = folder();
        let tools = ["nft", "iptables", "conntrack", "ip"].into_iter().filter(|tool| !on_path(tool));
        let built = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "coredns"]
            .into_iter()
            .filter(|name| !folder.join(name).is_file());
        let missing: Vec<&str> = tools.chain(built).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(format!(
                "missing {missing}; run `just testbed` (tests/cluster/build), which builds them or says how to get them"
            ));
        }
        let all = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID;
        match on_thread(|| Ok(unshare(all)?)) {
            Ok(()) => Ok(Self { folder }),
            Err(error) => {
                Err(format!("cannot create namespaces ({error}); run as root or with CAP_SYS_ADMIN and CAP_NET_ADMIN"))
            }
        }
    }

    /// The path of a program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of the programs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Prints once, in one line, why the cluster tests are skipped. Writes to standard error directly, so that the test
/// runner does not capture the line.
///
/// # Panics
/// With `DISCOVERY_TESTBED=required`, as in CI.
pub(crate) fn skip(reason: &str) {
    static ONCE: Once = Once::new();
    assert!(env::var("DISCOVERY_TESTBED").as_deref() != Ok("required"), "the cluster tests cannot run: {reason}");
    ONCE.call_once(|| {
        // A test does not fail because standard error is closed.
        writeln!(io::stderr(), "\ncluster tests skipped: {reason}").ok();
    });
}

/// The folder of the programs, by the same rule as in `tests/cluster/build`.
fn folder() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let shared = env::var_os("DISCOVERY_TESTBED_DIR").map(PathBuf::from);
    shared.unwrap_or_else(|| repository.join(target).join("testbed")).join(versions())
}

fn versions() -> String {
    let version = |module: &str, file: &str| {
        let mut lines = file.lines().filter_map(|line| line.split_once(module)?.1.strip_prefix(" v"));
        lines.next().and_then(|rest| rest.split_whitespace().next()).unwrap_or("unknown").to_owned()
    };
    let kubernetes = version("k8s.io/kubernetes", KUBERNETES);
    let etcd = version("go.etcd.io/etcd/server/v3", KUBERNETES);
    format!("kubernetes-{kubernetes}-etcd-{etcd}-coredns-{}", version("github.com/coredns/coredns", COREDNS))
}

fn on_path(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).any(|folder| folder.join(tool).is_file())
}

const KUBERNETES: &str = include_str!("../go/kubernetes/go.mod");
const COREDNS: &str = include_str!("../go/coredns/go.mod");
