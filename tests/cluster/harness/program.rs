//! A running program of a cluster.

use std::{
    fs::File,
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use tokio::sync::watch;

use super::namespaces::{Namespaces, on_thread};

/// A process in a [`Namespaces`] and in the process namespace of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pid: Pid,
    /// False once the process has been reaped: its id may then belong to another process.
    alive: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Program {
    /// Starts `command` with its output appended to `log`.
    pub(crate) fn start(
        mut command: Command,
        namespaces: &Namespaces,
        processes: &File,
        log: File,
    ) -> io::Result<Self> {
        // A new process group: Ctrl-C in a terminal then reaches only the test, and SIGKILL reaches every process of a
        // pod.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = spawn(&mut command, namespaces, processes)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let alive = Arc::new(Mutex::new(true));
        let (ended, exit) = watch::channel(None);
        let guard = Arc::clone(&alive);
        std::thread::Builder::new().name("reaper".to_owned()).spawn(move || reap(child, pid, &guard, &ended))?;
        Ok(Self { pid, alive, exit })
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits for the process to end.
    pub(crate) async fn end(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        // If the reaper is gone, the process has ended.
        status.unwrap_or_else(|| ExitStatus::from_raw(0))
    }

    /// Sends a signal, or does nothing if the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.while_alive(|pid| kill(pid, signal))
    }

    /// Kills the process and all its children.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.while_alive(|pid| killpg(pid, Signal::SIGKILL))
    }

    fn while_alive(&self, act: impl FnOnce(Pid) -> nix::Result<()>) -> io::Result<()> {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        match if *alive { act(self.pid) } else { Ok(()) } {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs a command in `namespaces` and returns its output.
pub(crate) fn output(
    mut command: Command,
    namespaces: &Namespaces,
    processes: &File,
) -> io::Result<std::process::Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(&mut command, namespaces, processes)?.wait_with_output()
}

fn spawn(command: &mut Command, namespaces: &Namespaces, processes: &File) -> io::Result<Child> {
    on_thread(|| {
        namespaces.enter()?;
        // This applies to the children of this thread only: a thread never changes its own process namespace.
        setns(processes, CloneFlags::CLONE_NEWPID)?;
        command.current_dir("/").spawn()
    })
}

fn reap(mut child: Child, pid: Pid, alive: &Mutex<bool>, ended: &watch::Sender<Option<ExitStatus>>) {
    // The id stays valid until the process is reaped, so wait first without reaping.
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
    *alive = false;
    ended.send_replace(child.wait().ok());
}
