//! A running cluster.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Command, Output},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::{
    Fallible, Options, api, components,
    dns::{self, Dns},
    keys::{self, Keys},
    kubelet::Kubelet,
    namespaces::Namespaces,
    node::{FOLDER, Node, SharedNode},
    options::ProxyMode,
    packets::PacketLoss,
    program::Program,
    programs::{self, Programs},
};

/// Turns a hang into a failure. No assertion depends on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane with one node.
pub(crate) struct Cluster {
    pub(super) node: SharedNode,
    kubelet: Arc<Kubelet>,
    client: Client,
    options: Options,
    components: Mutex<BTreeMap<String, Component>>,
}

/// A program of the control plane, and the command that starts it.
#[derive(Debug)]
struct Component {
    command: Box<dyn MakeCommand>,
    namespaces: Namespaces,
    program: Program,
}

trait MakeCommand: Send {
    fn make(&self) -> Command;
}

impl<F: Fn() -> Command + Send> MakeCommand for F {
    fn make(&self) -> Command {
        self()
    }
}

impl std::fmt::Debug for dyn MakeCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.make())
    }
}

/// Runs a test on its own cluster, or prints one line that says why it cannot.
///
/// The test runs in the node's network namespace, so all its connections stay inside the cluster.
///
/// # Panics
/// If the cluster does not start, or if the test panics.
pub(crate) fn on_cluster<F: Future<Output = ()>>(options: Options, test: impl FnOnce(Arc<Cluster>) -> F + Send) {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(reason) => return programs::skip(&reason),
    };
    let node = Arc::new(Node::new().unwrap_or_else(|error| panic!("cannot create the node's namespaces: {error}")));
    let run = || {
        node.namespaces().enter_network().unwrap();
        let namespaces = node.namespaces().clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || namespaces.enter_network().unwrap())
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let cluster = match Cluster::start(node.clone(), programs, options).await {
                Ok(cluster) => cluster,
                Err(error) => panic!("the cluster did not start: {error}"),
            };
            println!("cluster: started in {:.1} s", start.elapsed().as_secs_f64());
            test(cluster).await;
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    let result = std::thread::scope(|scope| scope.spawn(run).join());
    if let Err(panic) = result {
        for log in ["etcd", "apiserver", "controller-manager", "proxy", "coredns-0"] {
            eprintln!("--- {log}\n{}", node.log_tail(log, 5));
        }
        std::panic::resume_unwind(panic);
    }
}

impl Cluster {
    async fn start(node: SharedNode, programs: Programs, options: Options) -> Fallible<Arc<Self>> {
        let keys = keys::write(&node)?;
        let client = api::client(&keys)?;
        let kubelet = Kubelet::new(node.clone(), &programs, options.clone(), keys.clone());
        let cluster = Arc::new(Self { node, kubelet, client, options, components: Mutex::default() });
        cluster.start_control_plane(&programs)?;
        cluster.ready("the API server", api::is_ready(&cluster.client)).await?;
        api::make_node(&cluster.client).await?;
        cluster.start_rest(&programs, &keys).await?;
        tokio::spawn(cluster.kubelet.clone().run(cluster.client.clone()));
        Ok(cluster)
    }

    fn start_control_plane(&self, programs: &Programs) -> Fallible<()> {
        let (own, options) = (programs.clone(), self.options.clone());
        self.add("etcd", self.node.namespaces().clone(), move || components::etcd(&own))?;
        let own = programs.clone();
        self.add("apiserver", self.node.namespaces().clone(), move || components::apiserver(&own, &options))
    }

    /// Starts the programs that need the API server.
    async fn start_rest(self: &Arc<Self>, programs: &Programs, keys: &Keys) -> Fallible<()> {
        let here = || self.node.namespaces().clone();
        let (own, options) = (programs.clone(), self.options.clone());
        if self.options.controllers {
            self.add("controller-manager", here(), move || components::controller_manager(&own, &options))?;
        }
        let (own, options) = (programs.clone(), self.options.clone());
        if components::proxy(programs, &self.options).is_some() {
            let make = move || components::proxy(&own, &options).unwrap_or_else(|| Command::new("true"));
            self.add("proxy", here(), make)?;
        }
        let dns = Dns::new(&self.node, programs, keys, self.options.dns_replicas)?;
        for (name, namespaces, command) in dns.commands() {
            self.add(&name, namespaces, command)?;
        }
        dns.declare(&self.client).await?;
        let asked = if self.options.proxy == ProxyMode::None { dns.first() } else { dns::VIRTUAL };
        self.ready("DNS", dns::answers(asked)).await
    }

    fn add(&self, name: &str, namespaces: Namespaces, command: impl Fn() -> Command + Send + 'static) -> Fallible<()> {
        let program = self.node.start(name, command(), &namespaces)?;
        let component = Component { command: Box::new(command), namespaces, program };
        self.lock().insert(name.to_owned(), component);
        Ok(())
    }

    /// Waits for a part of the cluster. On a timeout, the error holds the logs of the components that have exited.
    async fn ready(&self, what: &str, ready: impl Future<Output = ()>) -> Fallible<()> {
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(()) => Ok(()),
            Err(_) => {
                let ended: Vec<String> = self
                    .lock()
                    .iter()
                    .filter(|(_, component)| component.program.ended().is_some())
                    .map(|(name, _)| format!("{name} has exited:\n{}", self.node.log_tail(name, 20)))
                    .collect();
                Err(format!("{what} was not ready within {PATIENCE:?}\n{}", ended.join("\n")).into())
            }
        }
    }

    /// A client of the API with administrator rights.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Kills a component: `etcd`, `apiserver`, `controller-manager`, `proxy`, `coredns-0`...
    pub(crate) async fn kill(&self, name: &str) {
        let program = self.program(name);
        program.kill().unwrap();
        program.end().await;
    }

    /// Suspends a component (SIGSTOP).
    pub(crate) fn stop(&self, name: &str) {
        self.program(name).signal(Signal::SIGSTOP).unwrap();
    }

    /// Resumes a suspended component (SIGCONT).
    pub(crate) fn cont(&self, name: &str) {
        self.program(name).signal(Signal::SIGCONT).unwrap();
    }

    /// Restarts a killed component.
    pub(crate) fn start_again(&self, name: &str) {
        let mut components = self.lock();
        let component = components.get_mut(name).unwrap_or_else(|| panic!("no component is called {name}"));
        component.program = self.node.start(name, component.command.make(), &component.namespaces).unwrap();
    }

    /// Kills etcd, deletes all its data, and restarts it.
    pub(crate) async fn empty_etcd(&self) {
        self.kill("etcd").await;
        std::fs::remove_dir_all(self.node.path(format!("{FOLDER}/etcd"))).unwrap();
        self.start_again("etcd");
    }

    fn program(&self, name: &str) -> Program {
        let components = self.lock();
        components.get(name).unwrap_or_else(|| panic!("no component is called {name}")).program.clone()
    }

    /// The process of a pod, `namespace/name`.
    pub(crate) fn pod(&self, name: &str) -> Program {
        let sandbox = self.kubelet.sandbox(name);
        sandbox.and_then(|sandbox| sandbox.program()).unwrap_or_else(|| panic!("pod {name} is not running"))
    }

    /// Drops the packets that an nft expression such as `udp dport 53` matches, while the guard lives.
    pub(crate) fn drop_packets(&self, matching: &str) -> PacketLoss {
        PacketLoss::new(self.node.clone(), matching)
    }

    /// Runs `work` in a pod's network and mount namespaces, and passes it the pod's variables.
    pub(crate) async fn in_pod<T: Send + 'static, F: Future<Output = T>>(
        &self,
        name: &str,
        work: impl FnOnce(BTreeMap<String, String>) -> F + Send + 'static,
    ) -> T {
        let sandbox = self.kubelet.sandbox(name).unwrap_or_else(|| panic!("pod {name} is not running"));
        let (send, result) = tokio::sync::oneshot::channel();
        let (namespaces, env) = (sandbox.namespaces.clone(), sandbox.env());
        std::thread::spawn(move || {
            namespaces.enter().unwrap();
            let inside = namespaces.clone();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .on_thread_start(move || inside.enter().unwrap())
                .enable_all()
                .build()
                .unwrap();
            let done = runtime.block_on(work(env));
            runtime.shutdown_timeout(Duration::from_secs(1));
            // Fails only if the test no longer waits.
            send.send(done).ok();
        });
        result.await.unwrap_or_else(|_| panic!("the work in {name} panicked"))
    }

    /// Runs a program in a pod and waits for its output.
    pub(crate) async fn exec(&self, pod: &str, program: &str, args: &[&str]) -> Output {
        let sandbox = self.kubelet.sandbox(pod).unwrap_or_else(|| panic!("pod {pod} is not running"));
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(sandbox.env());
        let node = self.node.clone();
        tokio::task::spawn_blocking(move || node.output(command, &sandbox.namespaces)).await.unwrap().unwrap()
    }

    /// The virtual address of CoreDNS.
    pub(crate) fn dns(&self) -> SocketAddr {
        dns::VIRTUAL
    }

    /// The questions that all CoreDNS replicas have logged: the name with its trailing dot, and the type.
    pub(crate) fn dns_questions(&self) -> Vec<(String, String)> {
        (0..self.options.dns_replicas).flat_map(|at| dns::logged(&self.node, &format!("coredns-{at}"))).collect()
    }

    /// Waits until CoreDNS answers through its virtual address.
    pub(crate) async fn dns_answers(&self) {
        if let Err(error) = self.ready("DNS", dns::answers(dns::VIRTUAL)).await {
            panic!("{error}");
        }
    }

    /// The lines in a component's log.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.node.log_path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Component>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
