//! The node: the namespaces that a cluster lives in, and the process that holds them.

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
    place::{Place, bind, mount_memory, on_thread, own_mounts},
    program::Program,
};

/// The node of one cluster.
///
/// The first process of its process namespace reads from a pipe that only this process can write to. When this
/// process ends, in whatever way, the pipe is closed, the holder ends, and the kernel ends all processes of the
/// namespace; the other namespaces, their mounts and the files in memory go with the last of them.
#[derive(Debug)]
pub(crate) struct Node {
    holder: Mutex<Child>,
    pub(super) pid: u32,
    place: Place,
    processes: File,
    pods: AtomicU32,
}

impl Node {
    /// Makes the namespaces, the folders and the network of the node.
    pub(crate) fn new() -> io::Result<Self> {
        let holder = on_thread(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
            own_mounts()?;
            // Nothing of the machine's: no lock file of iptables, and room for what a kubelet keeps there.
            mount_memory(&tag(), Path::new("/run"))?;
            fs::create_dir_all(LOGS)?;
            fs::create_dir_all(PODS)?;
            fs::create_dir_all(SERVICE_ACCOUNT)?;
            // For the child: a thread stays in its process namespace.
            unshare(CloneFlags::CLONE_NEWPID)?;
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).current_dir("/").spawn()
        })?;
        let pid = holder.id();
        let node = Self {
            holder: Mutex::new(holder),
            pid,
            place: Place::from_process(pid)?,
            processes: File::open(format!("/proc/{pid}/ns/pid"))?,
            pods: AtomicU32::new(1),
        };
        node.place.run(|| {
            // Read by the network namespace of the thread that writes.
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").or_else(ignore_missing)?;
            batch(NODE_LINKS)
        })?;
        Ok(node)
    }

    /// The node's network and mounts.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The path by which this process reaches a file of the node.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        Path::new(&format!("/proc/{}/root", self.pid)).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Starts a program in `place`; its output goes to the log called `name`.
    pub(crate) fn start(&self, name: &str, command: Command, place: &Place) -> io::Result<Program> {
        let log = File::options().create(true).append(true).open(self.log_path(name))?;
        Program::start(command, place, &self.processes, log)
    }

    /// Runs a program to its end.
    pub(crate) fn output(&self, command: Command, place: &Place) -> io::Result<std::process::Output> {
        super::program::output(command, place, &self.processes)
    }

    /// Where the log called `name` is.
    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.path(format!("{LOGS}/{}.log", name.replace('/', "_")))
    }

    /// The last lines of a log.
    pub(crate) fn log_tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read_to_string(self.log_path(name)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// New namespaces for a pod: a link to the node, and the files that a kubelet puts there.
    pub(crate) fn new_pod(&self, name: &str, files: &PodFiles) -> io::Result<(Place, Vec<String>)> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed) + 1;
        let (high, low) = (number / 254, number % 254 + 1);
        let (v4, v6) = (format!("10.244.{high}.{low}"), format!("fd00:10:244::{number:x}"));
        let own = format!("{PODS}/{}-{number}", name.replace('/', "_"));
        let place = self.place.new_inside(|| {
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
        self.place.run(|| {
            let link = format!("veth{number}");
            let mut links = format!("addr add 169.254.1.1/32 dev {link}\naddr add fe80::1/64 dev {link} nodad\n");
            links += &format!("link set {link} up\nroute add {v4}/32 dev {link}\nroute add {v6}/128 dev {link}\n");
            batch(&links)
        })?;
        Ok((place, vec![v4, v6]))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropping must not panic; a holder that cannot be killed ends with this process.
        holder.kill().and_then(|()| holder.wait()).ok();
    }
}

/// What a pod finds in its files.
#[derive(Debug, Default)]
pub(crate) struct PodFiles {
    pub(crate) resolv_conf: String,
    pub(crate) host_name: String,
    /// Name and content; none when no service account is mounted.
    pub(crate) service_account: Vec<(&'static str, String)>,
}

/// A node that several parts of the harness hold.
pub(crate) type SharedNode = Arc<Node>;

/// Shows a file at `at`, which on some machines is a link into the folders that are hidden by now.
fn show(file: &Path, at: &Path) -> io::Result<()> {
    if let (false, Ok(link)) = (at.exists(), fs::read_link(at)) {
        let real = at.parent().unwrap_or(Path::new("/")).join(link);
        // Only a file in memory may be made here; anything else would stay on the machine.
        if real.components().any(|part| part.as_os_str() == "run") {
            fs::create_dir_all(real.parent().unwrap_or(Path::new("/")))?;
            File::create(at)?;
        }
    }
    bind(file, at)
}

/// Runs many commands of `ip` in one process, in the namespaces of the calling thread.
pub(super) fn batch(lines: &str) -> io::Result<()> {
    let mut command = Command::new("ip");
    let mut ip = command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    let output = ip.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("ip: {told} in\n{lines}"))) }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The name of the mounts, by which a test finds out whether one was left behind.
fn tag() -> String {
    format!("{MOUNT_TAG}-{}", std::process::id())
}

/// What the names of a cluster's mounts start with; the id of the test process follows.
pub(crate) const MOUNT_TAG: &str = "discovery-cluster";
/// The node's files, in memory.
pub(crate) const FOLDER: &str = "/run/discovery";
const LOGS: &str = "/run/discovery/logs";
const PODS: &str = "/run/discovery/pods";
const SERVICE_ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// The address of the node.
pub(crate) const NODE_IP: &str = "172.31.255.1";

/// A virtual address must be routable before the OUTPUT hook can rewrite it: hence a default route, to a link whose
/// other end never answers.
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
