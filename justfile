# Every recipe is one or two commands that also work without just.

default:
    @just --list

# The README's first command: requests to a Service of a fake cluster, live.
quickstart:
    cargo run --release -p examples --bin quickstart

# The README's second command.
test:
    cargo test --workspace

# The programs of the cluster tests: etcd, Kubernetes, CoreDNS. Once per machine, minutes.
testbed:
    tests/cluster/build

# The tests on a real control plane; fails where they cannot run.
cluster-test *ARGS:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster {{ARGS}}

# The Java programs of the Eureka tests: a server of Spring Cloud, an application. Once per machine, a minute; wants Maven.
eureka:
    tests/eureka/build

# The tests with real Eureka servers and a Java client; fails where they cannot run.
eureka-test *ARGS: eureka
    DISCOVERY_EUREKA=required cargo test -p tests --test eureka {{ARGS}}

# What four clients lose while things happen in a cluster: docs/cluster.md.
day:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster a_day_in_production -- --ignored --nocapture

# How soon kube-proxy and our core of it follow a change of the API: docs/kube-proxy.md.
kube-proxy:
    DISCOVERY_TESTBED=required cargo test -p tests --test cluster from_a_write_to_its_effect -- --ignored --nocapture

fmt:
    cargo fmt --all

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Fails when a pure folder reads a clock, the environment or entropy, or the pure core pulls in a runtime.
purity:
    .ci/purity

deny:
    cargo deny --locked check bans licenses sources

# Ratios against peers in one run; see benches/README.md.
bench *ARGS:
    cd benches && cargo bench {{ARGS}}

# The forwarder beside HAProxy in TCP mode (`apt-get install haproxy`); see benches/README.md.
bench-forward *ARGS:
    cd benches && cargo run --release --bin forward -- {{ARGS}}

# Fuzz targets need a nightly compiler and cargo-fuzz: names, resolv_conf, dns_answers.
fuzz TARGET SECONDS="60":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}} -len_control=0 -max_len=600

# All that CI runs.
ci:
    bash .ci/run
