//! Processes that end with this one, and what the kernel knows of them.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A process that is killed when this is dropped.
pub struct Process(Child);

/// Resident memory in kB.
pub struct Memory {
    /// Its own.
    pub anonymous: u64,
    /// With its program and libraries.
    pub all: u64,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).spawn().expect("a program that can be started"))
    }

    /// This program in another role.
    pub fn role(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("the own program");
        Self::start(Command::new(program).args(arguments))
    }

    /// The processor time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("a process");
        let nanos = |task: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(nanos).sum())
    }

    /// Its resident memory.
    pub fn memory(&self) -> Memory {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("a process");
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        Memory { anonymous: field("RssAnon:"), all: field("VmRSS:") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
