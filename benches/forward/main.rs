//! The forwarder beside HAProxy in TCP mode: connections per second, bulk, p99 at a fixed rate, memory.
//!
//! Four processes: this one makes the load and keeps the time, one plays the pods, and the two proxies, which take turns.

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
        ["pods", port] => pods::play(port.parse().expect("a port")),
        ["ours", port, pods, workers] => {
            let [port, pods] = [port, pods].map(|one| one.parse().expect("a port"));
            proxies::ours::run(port, pods, workers.parse().expect("a number"));
        }
        parts => rounds::run(parts),
    }
}
