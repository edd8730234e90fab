//! The namespaces of one pod, and the process in them.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Container, Pod, ServiceAccount},
};
use kube::{Api, Client, ResourceExt as _, api::PostParams};

use super::{Kubelet, environment, full_name};
use crate::harness::{Fallible, namespaces::Namespaces, node::PodFiles, program::Program};

/// The parts of a pod that survive restarts of its process.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) name: String,
    pub(crate) namespaces: Namespaces,
    pub(crate) ips: Vec<String>,
    env: Mutex<BTreeMap<String, String>>,
    program: Mutex<Option<Program>>,
}

impl Sandbox {
    /// Creates the namespaces and the files of a pod.
    pub(super) async fn new(kubelet: &Kubelet, client: &Client, pod: &Pod) -> Fallible<Self> {
        let files = files(kubelet, client, pod).await;
        let (name, node) = (full_name(pod), kubelet.node.clone());
        let made = tokio::task::spawn_blocking(move || {
            let (namespaces, ips) = node.new_pod(&name, &files)?;
            Ok::<_, std::io::Error>((name, namespaces, ips))
        });
        let (name, namespaces, mut ips) = made.await??;
        if !kubelet.options.dual_stack {
            ips.truncate(1);
        }
        Ok(Self { name, namespaces, ips, env: Mutex::default(), program: Mutex::default() })
    }

    /// Starts the container's process.
    pub(super) async fn start(&self, kubelet: &Kubelet, client: &Client, pod: &Pod) -> Fallible<Program> {
        let env = environment::variables(kubelet, &kubelet.services(client).await, pod, &self.ips);
        let container = container(pod).ok_or("the pod has no container")?;
        let mut words = container.command.iter().flatten().chain(container.args.iter().flatten());
        let first = words.next().ok_or("the container has no command, and the testbed has no images")?;
        let mut command = Command::new(find(first, &kubelet.path));
        command.args(words).env_clear().envs(&env).env("PATH", &kubelet.path);
        let program = kubelet.node.start(&format!("pod-{}", self.name), command, &self.namespaces)?;
        *self.env.lock().unwrap_or_else(PoisonError::into_inner) = env;
        *self.program.lock().unwrap_or_else(PoisonError::into_inner) = Some(program.clone());
        Ok(program)
    }

    /// The variables that the process was started with.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        self.env.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process, if it was started.
    pub(crate) fn program(&self) -> Option<Program> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The first container, the only one that this kubelet runs.
pub(super) fn container(pod: &Pod) -> Option<&Container> {
    pod.spec.as_ref()?.containers.first()
}

async fn files(kubelet: &Kubelet, client: &Client, pod: &Pod) -> PodFiles {
    let namespace = pod.namespace().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let mut service_account = Vec::new();
    if spec.automount_service_account_token != Some(false) {
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        service_account.push(("namespace", namespace.clone()));
        service_account.push(("ca.crt", kubelet.keys.authority.clone()));
        service_account.extend(token(client, &namespace, account).await.map(|token| ("token", token)));
    }
    let cluster = format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    );
    let resolv_conf = match spec.dns_policy.as_deref() {
        // The machine's own nameservers are unreachable from the namespaces.
        Some("Default") => "nameserver 127.0.0.1\n".to_owned(),
        Some("None") => custom(spec.dns_config.unwrap_or_default()),
        _ => cluster,
    };
    PodFiles { resolv_conf, host_name: pod.name_any(), service_account }
}

fn custom(config: k8s_openapi::api::core::v1::PodDNSConfig) -> String {
    let mut text = String::new();
    if let Some(searches) = config.searches.filter(|searches| !searches.is_empty()) {
        text += &format!("search {}\n", searches.join(" "));
    }
    for nameserver in config.nameservers.into_iter().flatten() {
        text += &format!("nameserver {nameserver}\n");
    }
    let options = config.options.into_iter().flatten().map(|option| {
        let value = option.value.map(|value| format!(":{value}")).unwrap_or_default();
        format!("{}{value}", option.name.unwrap_or_default())
    });
    text + &format!("options {}\n", options.collect::<Vec<_>>().join(" "))
}

/// A real token of the account. In a new namespace a controller creates the account within moments. `None` without
/// controllers.
async fn token(client: &Client, namespace: &str, account: &str) -> Option<String> {
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    for _ in 0..20 {
        let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
        match api.create_token_request(account, &PostParams::default(), &request).await {
            Ok(answer) => return answer.status.and_then(|status| status.token),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    None
}

/// The path of the program `name`. `Command` itself would search the `PATH` of the test process.
fn find(name: &str, path: &str) -> std::path::PathBuf {
    let candidates = std::env::split_paths(path).map(|folder| folder.join(name));
    candidates.into_iter().find(|file| !name.contains('/') && file.is_file()).unwrap_or_else(|| name.into())
}
