//! Explains what kube-proxy does with your Services: how each is reached from a pod, from the node and from outside, which
//! addresses answer a ping, and what happens to a given flow: `cargo run -p examples --bin kube_proxy`.

mod check;
mod cluster;
mod flow;
mod manifests;
mod options;
mod reach;
#[cfg(test)]
mod tests;

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use manifests::File;
use options::{Options, Task, UsageError};

/// The Services of every introduction to Kubernetes.
const CLASSICS: &str = include_str!("../../../kube_proxy/classics.yaml");

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(UsageError::Help(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(UsageError::Invalid(text)) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for name in &options.files {
        let text = match name.as_str() {
            "-" => io::read_to_string(io::stdin()),
            name => std::fs::read_to_string(name),
        };
        let text = text.map_err(|error| format!("{name}: {error}"))?;
        files.push(File { name: name.clone(), text });
    }
    if files.is_empty() {
        files.push(File { name: "classics.yaml".to_owned(), text: CLASSICS.to_owned() });
    }
    let manifests = manifests::read(&files)?;
    let cluster = cluster::Cluster::run(manifests, options)?;
    let mut out = String::new();
    match &options.task {
        Task::Reach => reach::print(&mut out, &cluster)?,
        Task::Flow { from, to, protocol } => flow::print(&mut out, &cluster, *from, *to, *protocol)?,
    }
    match io::stdout().write_all(out.as_bytes()) {
        // The reader, such as `head`, has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
