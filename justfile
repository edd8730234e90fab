# Each recipe is one or two commands that also work without just.

default:
    @just --list

# The README's first command: live requests to a Service of a fake cluster.
quickstart:
    cargo run --release -p examples --bin quickstart

# The README's second command.
test:
    cargo test --workspace

# Builds the programs of the cluster tests (etcd, Kubernetes, CoreDNS): once per machine, some minutes.
testbed:
    tests/cluster/build

# Runs the tests on a real control plane; fails where they cannot run.
cluster-test *ARGS:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster {{ARGS}}

# Builds the Java programs of the Eureka tests (a Spring Cloud server, an application): once per machine, a minute. Needs Maven.
eureka:
    tests/eureka/build

# Runs the tests with real Eureka servers and a Java client; fails where they cannot run.
eureka-test *ARGS: eureka
    DISCOVERY_EUREKA=required cargo test -p tests --test eureka {{ARGS}}

# Measures what four clients lose while a cluster changes: docs/cluster.md.
day:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster a_day_in_production -- --ignored --nocapture

# Measures what our client loses while it cannot reach some pods: docs/cluster.md.
unreachable:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster unreachable_pods -- --ignored --nocapture

# Measures how soon the real kube-proxy and discovery-proxy follow a change in the API: docs/kube-proxy.md.
kube-proxy:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster from_a_write_to_its_effect -- --ignored --nocapture

fmt:
    cargo fmt --all

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Fails if a pure folder reads a clock, the environment or entropy, or if the pure core depends on a runtime.
purity:
    .ci/purity

# Checks licenses, sources and bans of dependencies, and known vulnerabilities where the database can be fetched.
deny:
    .ci/deny

# Builds the crates with the oldest versions of dependencies that the manifests allow; needs a nightly compiler.
minimal-versions:
    .ci/minimal-versions

# Checks links, the paths in ARCHITECTURE.md, and that a test names each failure mode.
papers:
    .ci/docs

# Checks spelling; needs typos-cli.
spelling:
    typos

# Checks each crate alone with every pair of its features; needs cargo-hack.
features:
    .ci/features

# Packages and builds the crates as they would be published.
package:
    cargo package --locked --workspace --exclude examples --exclude tests --exclude fuzz-bodies

# Measures ratios against peers in one run: benches/README.md.
bench *ARGS:
    cd benches && cargo bench {{ARGS}}

# Compares the forwarder with HAProxy in TCP mode (`apt-get install haproxy`): benches/README.md.
bench-forward *ARGS:
    cd benches && cargo run --release --bin forward -- {{ARGS}}

# Runs the fuzz bodies on stable with more variants than `cargo test` does.
fuzz-stable FACTOR="20":
    FUZZ_CASES={{FACTOR}} cargo test --release -p fuzz-bodies

# Runs a fuzz target (names, resolv_conf, dns_answers, eureka, slices, manifests); needs a nightly compiler and cargo-fuzz.
fuzz TARGET SECONDS="60":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}} -len_control=0 -max_len=600

# Runs everything that CI runs.
ci:
    bash .ci/run
