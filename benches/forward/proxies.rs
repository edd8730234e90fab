//! The two proxies, each a process with the same number of threads.

use std::{fs, path::PathBuf, process::Command};

use crate::{pods, process::Process};

pub mod ours;

pub const WORKERS: usize = 2;

/// The number of idle connections for a proxy: 10 000, or as many as the limit of descriptors allows at two each.
pub fn idle() -> usize {
    let (limit, _) = rlimit::Resource::NOFILE.get().expect("a limit");
    10_000.min((limit as usize - 200) / 2)
}

/// HAProxy's `maxconn`, a little more than it needs. HAProxy refuses to start without two descriptors for each
/// connection, and pipes for a quarter of them if it splices.
fn maxconn(splice: bool) -> usize {
    if splice { 1000 } else { idle() + 50 }
}

/// A proxy that forwards `port` to the pods' echo port and `port + 1` to their bulk port.
pub struct Proxy {
    pub name: &'static str,
    pub process: Process,
    pub port: u16,
    _config: Option<Config>,
}

impl Proxy {
    pub fn ours(port: u16, pods: u16) -> Self {
        let process = Process::role(&["ours", &port.to_string(), &pods.to_string(), &WORKERS.to_string()]);
        Self { name: "ours", process, port, _config: None }
    }

    /// HAProxy with the configuration of the first example in its manual. `splice` adds `splice-request` and
    /// `splice-response`, because `splice-auto` did not splice.
    pub fn haproxy(port: u16, pods: u16, splice: bool) -> Self {
        let config = Config::write(port, pods, splice);
        let process = Process::start(Command::new("haproxy").args(["-db", "-q", "-f"]).arg(&config.0));
        let name = if splice { "haproxy, splicing" } else { "haproxy" };
        Self { name, process, port, _config: Some(config) }
    }
}

/// A configuration file that is deleted together with its proxy.
struct Config(PathBuf);

impl Config {
    fn write(port: u16, pods: u16, splice: bool) -> Self {
        let mut text = format!("global\n  nbthread {WORKERS}\n  maxconn {}\ndefaults\n  mode tcp\n", maxconn(splice));
        text += "  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n";
        if splice {
            text += "  option splice-request\n  option splice-response\n";
        }
        for at in 0..2 {
            text += &format!("listen l{at}\n  bind 127.0.0.1:{}\n  balance roundrobin\n", port + at);
            for (n, [a, b, c, d]) in pods::ADDRESSES.iter().enumerate() {
                text += &format!("  server s{n} {a}.{b}.{c}.{d}:{}\n", pods + at);
            }
        }
        let path = std::env::temp_dir().join(format!("forward-bench-{}-{port}.cfg", std::process::id()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
