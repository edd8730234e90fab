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
    node::{FOLDER, Node, SharedNode},
    options::ProxyMode,
    packets::Dropping,
    place::Place,
    program::Program,
    programs::{self, Programs},
};

/// How long a test waits for what has to happen. It bounds a hang; nothing is timed by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane with one node.
pub(crate) struct Cluster {
    pub(super) node: SharedNode,
    kubelet: Arc<Kubelet>,
    client: Client,
    options: Options,
    components: Mutex<BTreeMap<String, Component>>,
}

/// A program of the control plane, and how it is started.
#[derive(Debug)]
struct Component {
    command: Box<dyn MakeCommand>,
    place: Place,
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

/// Runs a test on a cluster of its own, or says in one line why it cannot.
///
/// The test runs in the node's network namespace: what it connects to is inside.
///
/// # Panics
/// When the cluster does not start, and when the test panics.
pub(crate) fn on_cluster<F: Future<Output = ()>>(options: Options, test: impl FnOnce(Arc<Cluster>) -> F + Send) {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(reason) => return programs::skip(&reason),
    };
    let node = Arc::new(Node::new().unwrap_or_else(|error| panic!("namespaces: {error}")));
    let run = || {
        node.place().enter_network().unwrap();
        let place = node.place().clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || place.enter_network().unwrap())
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let cluster = match Cluster::start(node.clone(), programs, options).await {
                Ok(cluster) => cluster,
                Err(error) => panic!("the cluster did not start: {error}"),
            };
            println!("cluster: started in {:.1} s", begun.elapsed().as_secs_f64());
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
        self.add("etcd", self.node.place().clone(), move || components::etcd(&own))?;
        let own = programs.clone();
        self.add("apiserver", self.node.place().clone(), move || components::apiserver(&own, &options))
    }

    /// What needs the API server.
    async fn start_rest(self: &Arc<Self>, programs: &Programs, keys: &Keys) -> Fallible<()> {
        let here = || self.node.place().clone();
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
        for (name, place, command) in dns.commands() {
            self.add(&name, place, command)?;
        }
        dns.declare(&self.client).await?;
        let asked = if self.options.proxy == ProxyMode::None { dns.first() } else { dns::VIRTUAL };
        self.ready("DNS", dns::answers(asked)).await
    }

    fn add(&self, name: &str, place: Place, command: impl Fn() -> Command + Send + 'static) -> Fallible<()> {
        let program = self.node.start(name, command(), &place)?;
        let component = Component { command: Box::new(command), place, program };
        self.lock().insert(name.to_owned(), component);
        Ok(())
    }

    /// Waits for a part of the cluster; tells its log when a component has ended.
    async fn ready(&self, what: &str, ready: impl Future<Output = ()>) -> Fallible<()> {
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(()) => Ok(()),
            Err(_) => {
                let ended: Vec<String> = self
                    .lock()
                    .iter()
                    .filter(|(_, component)| component.program.ended().is_some())
                    .map(|(name, _)| format!("{name} has ended:\n{}", self.node.log_tail(name, 20)))
                    .collect();
                Err(format!("{what} is not ready after {PATIENCE:?}\n{}", ended.join("\n")).into())
            }
        }
    }

    /// A client of the API, with all rights.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Kills a component: `etcd`, `apiserver`, `controller-manager`, `proxy`, `coredns-0`...
    pub(crate) async fn kill(&self, name: &str) {
        let program = self.program(name);
        program.kill().unwrap();
        program.end().await;
    }

    /// Stops a component without its notice (SIGSTOP).
    pub(crate) fn stop(&self, name: &str) {
        self.program(name).signal(Signal::SIGSTOP).unwrap();
    }

    /// Lets a stopped component go on.
    pub(crate) fn cont(&self, name: &str) {
        self.program(name).signal(Signal::SIGCONT).unwrap();
    }

    /// Starts a component again that was killed.
    pub(crate) fn start_again(&self, name: &str) {
        let mut components = self.lock();
        let component = components.get_mut(name).unwrap_or_else(|| panic!("no component {name}"));
        component.program = self.node.start(name, component.command.make(), &component.place).unwrap();
    }

    /// Ends etcd, takes all that it holds away, and starts it again.
    pub(crate) async fn empty_etcd(&self) {
        self.kill("etcd").await;
        std::fs::remove_dir_all(self.node.path(format!("{FOLDER}/etcd"))).unwrap();
        self.start_again("etcd");
    }

    fn program(&self, name: &str) -> Program {
        let components = self.lock();
        components.get(name).unwrap_or_else(|| panic!("no component {name}")).program.clone()
    }

    /// The process of a pod, `namespace/name`.
    pub(crate) fn pod(&self, name: &str) -> Program {
        self.kubelet.sandbox(name).and_then(|sandbox| sandbox.program()).unwrap_or_else(|| panic!("no pod {name}"))
    }

    /// Drops what an expression of nft matches, as long as the guard lives: `udp dport 53`.
    pub(crate) fn drop_packets(&self, matching: &str) -> Dropping {
        Dropping::new(self.node.clone(), matching)
    }

    /// Runs `work` in a pod: in its network, with its files, and told its variables.
    pub(crate) async fn in_pod<T: Send + 'static, F: Future<Output = T>>(
        &self,
        name: &str,
        work: impl FnOnce(BTreeMap<String, String>) -> F + Send + 'static,
    ) -> T {
        let sandbox = self.kubelet.sandbox(name).unwrap_or_else(|| panic!("no pod {name}"));
        let (send, result) = tokio::sync::oneshot::channel();
        let (place, env) = (sandbox.place.clone(), sandbox.env());
        std::thread::spawn(move || {
            place.enter().unwrap();
            let inside = place.clone();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .on_thread_start(move || inside.enter().unwrap())
                .enable_all()
                .build()
                .unwrap();
            let done = runtime.block_on(work(env));
            runtime.shutdown_timeout(Duration::from_secs(1));
            // The test has been given up.
            send.send(done).ok();
        });
        result.await.unwrap_or_else(|_| panic!("the work in {name} panicked"))
    }

    /// Runs a program to its end in a pod.
    pub(crate) async fn exec(&self, pod: &str, program: &str, args: &[&str]) -> Output {
        let sandbox = self.kubelet.sandbox(pod).unwrap_or_else(|| panic!("no pod {pod}"));
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(sandbox.env());
        let node = self.node.clone();
        tokio::task::spawn_blocking(move || node.output(command, &sandbox.place)).await.unwrap().unwrap()
    }

    /// The addresses that CoreDNS's replicas listen on.
    pub(crate) fn dns(&self) -> SocketAddr {
        dns::VIRTUAL
    }

    /// The questions that all replicas of CoreDNS have logged: name with its final dot, and type.
    pub(crate) fn dns_questions(&self) -> Vec<(String, String)> {
        (0..self.options.dns_replicas).flat_map(|at| dns::logged(&self.node, &format!("coredns-{at}"))).collect()
    }

    /// Waits until CoreDNS answers through its virtual address.
    pub(crate) async fn dns_answers(&self) {
        if let Err(error) = self.ready("DNS", dns::answers(dns::VIRTUAL)).await {
            panic!("{error}");
        }
    }

    /// The lines that a component has logged.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.node.log_path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Component>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
