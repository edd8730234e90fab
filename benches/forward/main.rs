//! The forwarder against HAProxy in TCP mode: connections per second, bulk throughput, p99 at a fixed rate, memory.
//!
//! There are several processes: this one generates the load and measures, another plays the pods, and each proxy is
//! one.

mod load;
mod pods;
mod process;
mod proxies;
mod rounds;

use std::env;

fn main() {
    rlimit::increase_nofile_limit(20_200).ok();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pods", port] => pods::play(port.parse().expect("a port number")),
        ["ours", port, pods, workers] => {
            let [port, pods] = [port, pods].map(|one| one.parse().expect("a port number"));
            proxies::ours::run(port, pods, workers.parse().expect("the number of workers"));
        }
        parts => rounds::run(parts),
    }
}
