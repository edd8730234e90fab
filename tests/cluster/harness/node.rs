//! The node: the namespaces of a cluster, and the process that keeps them alive.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::sched::{CloneFlags, unshare};

use super::{
    namespaces::{Namespaces, bind, mount_memory, on_thread, own_mounts},
    program::Program,
};

/// The node of one cluster.
///
/// The first process in the process namespace, the holder, reads from a pipe that only this process can write to.
/// However this process ends, the pipe closes and the holder exits. The kernel then ends all processes in the
/// namespace. The other namespaces, their mounts and the files in memory go away with the last process.
#[derive(Debug)]
pub(crate) struct Node {
    holder: Mutex<Child>,
    pub(super) pid: u32,
    namespaces: Namespaces,
    processes: File,
    pods: AtomicU32,
}

impl Node {
    /// Creates the namespaces, the folders and the network of the node.
    pub(crate) fn new() -> io::Result<Self> {
        let holder = on_thread(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
            own_mounts()?;
            // An empty /run hides the machine's files, such as the lock file of iptables, and has room for the pods'
            // files.
            mount_memory(&tag(), Path::new("/run"))?;
            fs::create_dir_all(LOGS)?;
            fs::create_dir_all(PODS)?;
            fs::create_dir_all(SERVICE_ACCOUNT)?;
            // This applies to the child only: a thread never changes its own process namespace.
            unshare(CloneFlags::CLONE_NEWPID)?;
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).current_dir("/").spawn()
        })?;
        let pid = holder.id();
        let node = Self {
            holder: Mutex::new(holder),
            pid,
            namespaces: Namespaces::from_process(pid)?,
            processes: File::open(format!("/proc/{pid}/ns/pid"))?,
            pods: AtomicU32::new(1),
        };
        node.namespaces.run(|| {
            // These settings belong to the network namespace of the thread that writes them.
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").or_else(ignore_missing)?;
            batch(NODE_LINKS)
        })?;
        Ok(node)
    }

    /// The node's network and mounts.
    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The path of a node's file, as seen from this process.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        Path::new(&format!("/proc/{}/root", self.pid)).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Starts a program in `namespaces`; its output goes to the log `name`.
    pub(crate) fn start(&self, name: &str, command: Command, namespaces: &Namespaces) -> io::Result<Program> {
        let log = File::options().create(true).append(true).open(self.log_path(name))?;
        Program::start(command, namespaces, &self.processes, log)
    }

    /// Runs a program in `namespaces` and waits for its output.
    pub(crate) fn output(&self, command: Command, namespaces: &Namespaces) -> io::Result<std::process::Output> {
        super::program::output(command, namespaces, &self.processes)
    }

    /// The path of the log `name`.
    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.path(format!("{LOGS}/{}.log", name.replace('/', "_")))
    }

    /// The last lines of a log.
    pub(crate) fn log_tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read_to_string(self.log_path(name)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Creates the namespaces of a pod, with a link to the node and the files that a kubelet provides.
    pub(crate) fn new_pod(&self, name: &str, files: &PodFiles) -> io::Result<(Namespaces, Vec<String>)> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed) + 1;
        let (high, low) = (number / 254, number % 254 + 1);
        let (v4, v6) = (format!("10.244.{high}.{low}"), format!("fd00:10:244::{number:x}"));
        let own = format!("{PODS}/{}-{number}", name.replace('/', "_"));
        let namespaces = self.namespaces.new_inside(|| {
            let account = format!("{own}/serviceaccount");
            fs::create_dir_all(&account)?;
            for (file, text) in &files.service_account {
                fs::write(format!("{account}/{file}"), text)?;
            }
            if !files.service_account.is_empty() {
                bind(Path::new(&account), Path::new(SERVICE_ACCOUNT))?;
            }
            let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n{v4}\t{}\n", files.host_name);
            for (file, text) in [("/etc/resolv.conf", &files.resolv_conf), ("/etc/hosts", &hosts)] {
                let source = format!("{own}{}", file.replace('/', "-"));
                fs::write(&source, text)?;
                show(Path::new(&source), Path::new(file))?;
            }
            let mut links =
                format!("link set lo up\nlink add eth0 type veth peer name veth{number} netns {}\n", self.pid);
            links += &format!("addr add {v4}/32 dev eth0\nlink set eth0 up\n");
            links += "route add 169.254.1.1 dev eth0 scope link\nroute add default via 169.254.1.1 dev eth0\n";
            links += &format!("addr add {v6}/128 dev eth0 nodad\nroute add default via fe80::1 dev eth0\n");
            batch(&links)
        })?;
        self.namespaces.run(|| {
            let link = format!("veth{number}");
            let mut links = format!("addr add 169.254.1.1/32 dev {link}\naddr add fe80::1/64 dev {link} nodad\n");
            links += &format!("link set {link} up\nroute add {v4}/32 dev {link}\nroute add {v6}/128 dev {link}\n");
            batch(&links)
        })?;
        Ok((namespaces, vec![v4, v6]))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        // Ignore errors, since `drop` must not panic: a holder that cannot be killed ends with this process.
        holder.kill().and_then(|()| holder.wait()).ok();
    }
}

/// The contents of a pod's files.
#[derive(Debug, Default)]
pub(crate) struct PodFiles {
    pub(crate) resolv_conf: String,
    pub(crate) host_name: String,
    /// The name and content of each file; empty if no service account is mounted.
    pub(crate) service_account: Vec<(&'static str, String)>,
}

/// A node that several parts of the harness share.
pub(crate) type SharedNode = Arc<Node>;

/// Bind-mounts a file at `at`, which on some machines is a symbolic link into the hidden /run.
fn show(file: &Path, at: &Path) -> io::Result<()> {
    if let (false, Ok(link)) = (at.exists(), fs::read_link(at)) {
        let real = at.parent().unwrap_or(Path::new("/")).join(link);
        // Create only files in memory: any other file would stay on the machine.
        if real.components().any(|part| part.as_os_str() == "run") {
            fs::create_dir_all(real.parent().unwrap_or(Path::new("/")))?;
            File::create(at)?;
        }
    }
    bind(file, at)
}

/// Runs many `ip` commands in one process, in the namespaces of the calling thread.
pub(super) fn batch(lines: &str) -> io::Result<()> {
    let mut command = Command::new("ip");
    let mut ip = command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    let output = ip.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip -batch failed: {stderr}; its input was\n{lines}")))
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The name of this cluster's mounts, which lets a test find those that were left behind.
fn tag() -> String {
    format!("{MOUNT_TAG}-{}", std::process::id())
}

/// The prefix of the names of a cluster's mounts; the id of the test process follows it.
pub(crate) const MOUNT_TAG: &str = "discovery-cluster";
/// The folder of the node's files, in memory.
pub(crate) const FOLDER: &str = "/run/discovery";
const LOGS: &str = "/run/discovery/logs";
const PODS: &str = "/run/discovery/pods";
const SERVICE_ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// The address of the node.
pub(crate) const NODE_IP: &str = "172.31.255.1";

/// The node's links. A virtual address must be routable before the OUTPUT hook can rewrite it, so there is a default
/// route to a link whose other end never answers.
const NODE_LINKS: &str = "\
link set lo up
link add eth0 type veth peer name uplink
addr add 172.31.255.1/24 dev eth0
addr add fd00:172:31::1/64 dev eth0 nodad
link set uplink up
link set eth0 up
route add default via 172.31.255.254 dev eth0
route add default via fd00:172:31::fe dev eth0
";
