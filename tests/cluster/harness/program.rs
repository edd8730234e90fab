//! One running program of a cluster.

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

use super::place::{Place, on_thread};

/// A process that was started in a [`Place`] and in the process namespace of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pid: Pid,
    /// False from the moment on that the process is waited for: its id may then be another's.
    alive: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Program {
    /// Starts `command` with its output appended to `log`.
    pub(crate) fn start(mut command: Command, place: &Place, processes: &File, log: File) -> io::Result<Self> {
        // A group of its own: Ctrl-C at a terminal reaches the test alone, and SIGKILL the whole of a pod.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = spawn(&mut command, place, processes)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let alive = Arc::new(Mutex::new(true));
        let (ended, exit) = watch::channel(None);
        let guard = Arc::clone(&alive);
        std::thread::Builder::new().name("reaper".to_owned()).spawn(move || reap(child, pid, &guard, &ended))?;
        Ok(Self { pid, alive, exit })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn end(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        // A reaper that is gone has seen the process go.
        status.unwrap_or_else(|| ExitStatus::from_raw(0))
    }

    /// Sends a signal; nothing happens when the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.while_alive(|pid| kill(pid, signal))
    }

    /// Kills it and all that it has started.
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

/// Runs a command to its end in `place`, and gives what it printed.
pub(crate) fn output(mut command: Command, place: &Place, processes: &File) -> io::Result<std::process::Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(&mut command, place, processes)?.wait_with_output()
}

fn spawn(command: &mut Command, place: &Place, processes: &File) -> io::Result<Child> {
    on_thread(|| {
        place.enter()?;
        // For the children of this thread only: a thread's own process namespace never changes.
        setns(processes, CloneFlags::CLONE_NEWPID)?;
        command.current_dir("/").spawn()
    })
}

fn reap(mut child: Child, pid: Pid, alive: &Mutex<bool>, ended: &watch::Sender<Option<ExitStatus>>) {
    // Its id is its own for as long as nobody has taken its status.
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
    *alive = false;
    ended.send_replace(child.wait().ok());
}
