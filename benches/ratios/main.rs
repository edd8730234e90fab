//! Benchmarks against peers, measured side by side in one run; see `../README.md`.
//!
//! `cargo bench` runs all of them, `cargo bench -- pick read` some.

mod balance;
mod measure;
mod pick;
mod proxy;
mod publish;
mod read;
mod refresh;
mod request;
mod table;
mod world;

use table::Table;

type Bench = (&'static str, fn(&mut Table));

const ALL: &[Bench] = &[
    ("read", read::run),
    ("pick", pick::run),
    ("request", request::run),
    ("refresh", refresh::run),
    ("publish", publish::run),
    ("balance", balance::run),
    ("proxy", proxy::run),
];

fn main() {
    // cargo passes `--bench` to every bench.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| ALL.iter().all(|(known, _)| known != name)) {
        eprintln!("no bench is called `{unknown}`; choose from: {}", names());
        std::process::exit(2);
    }
    let mut table = Table::default();
    println!("load before: {}", world::load());
    for (name, run) in ALL.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        eprintln!("{name} ...");
        run(&mut table);
    }
    println!("load after:  {}\n\n{table}", world::load());
}

fn names() -> String {
    ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
