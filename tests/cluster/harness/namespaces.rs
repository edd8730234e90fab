//! Linux namespaces, kept alive by file descriptors of this process. They go away with the process, however it ends.

use std::{fs::File, io, path::Path, sync::Arc};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};

/// The network and the mount namespace of a node or a pod.
#[derive(Clone, Debug)]
pub(crate) struct Namespaces {
    net: Arc<File>,
    mount: Arc<File>,
}

impl Namespaces {
    /// The namespaces of the calling thread.
    pub(crate) fn here() -> io::Result<Self> {
        let open = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}")).map(Arc::new);
        Ok(Self { net: open("net")?, mount: open("mnt")? })
    }

    /// The namespaces of a process.
    pub(crate) fn from_process(pid: u32) -> io::Result<Self> {
        let open = |kind: &str| File::open(format!("/proc/{pid}/ns/{kind}")).map(Arc::new);
        Ok(Self { net: open("net")?, mount: open("mnt")? })
    }

    /// Moves the calling thread, and all that it starts from now on, into the network namespace.
    pub(crate) fn enter_network(&self) -> io::Result<()> {
        Ok(setns(&*self.net, CloneFlags::CLONE_NEWNET)?)
    }

    /// Moves the calling thread, and all that it starts from now on, into both namespaces.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // The kernel forbids changing the mount namespace of a thread that shares its root and working directory.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&*self.mount, CloneFlags::CLONE_NEWNS)?;
        self.enter_network()
    }

    /// Runs `work` in both namespaces on a new thread, and waits for it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Runs `work` in the network namespace on a new thread, and waits for it.
    pub(crate) fn run_in_network<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            self.enter_network()?;
            work()
        })
    }

    /// Creates namespaces whose mounts start as a copy of these, and runs `setup` in them.
    pub(crate) fn new_inside(&self, setup: impl FnOnce() -> io::Result<()> + Send) -> io::Result<Self> {
        self.run(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
            own_mounts()?;
            setup()?;
            Self::here()
        })
    }
}

/// Makes the calling thread's mounts private, so that neither they nor the originals see each other's changes.
pub(crate) fn own_mounts() -> io::Result<()> {
    Ok(mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?)
}

/// Mounts an empty folder in memory.
pub(crate) fn mount_memory(name: &str, at: &Path) -> io::Result<()> {
    Ok(mount(Some(name), at, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?)
}

/// Bind-mounts `from` at `at`.
pub(crate) fn bind(from: &Path, at: &Path) -> io::Result<()> {
    Ok(mount(Some(from), at, NOTHING, MsFlags::MS_BIND, NOTHING)?)
}

/// Runs `work` on a new thread, so that changes to the thread's namespaces end with it.
pub(crate) fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

const NOTHING: Option<&str> = None;
