//! Child processes that end with this one, and their processor time and memory.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A child process that is killed when this value is dropped.
pub struct Process(Child);

/// The resident memory of a process in kB.
pub struct Memory {
    /// The memory of the process itself.
    pub anonymous: u64,
    /// All memory, including the program and its libraries.
    pub all: u64,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program())))
    }

    /// Starts this program in another role.
    pub fn role(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        Self::start(Command::new(program).args(arguments))
    }

    /// The processor time that all threads of the process have used.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("a process");
        let nanos = |task: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(nanos).sum())
    }

    /// The resident memory of the process.
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
