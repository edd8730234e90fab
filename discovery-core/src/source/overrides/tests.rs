//! Overrides in, endpoints or errors out.

use super::*;
use crate::name::{ClusterDomain, Namespace};

/// Answers every name with `10.0.0.1` and the port that was asked for; does not know `unknown`.
#[derive(Debug)]
struct Names;

#[derive(Debug)]
struct NamesLookup(Target);

impl Source for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(NamesLookup(plan.target.clone()))
    }
}

impl Lookup for NamesLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        let port = self.0.port().number().map_or(0, NonZeroU16::get);
        let state = match self.0.host().to_string().as_str() {
            "unknown" => State::NotFound,
            "failing" => State::Failed(Error::config("refused")),
            _ => State::Ready(vec![Endpoint::new(([10, 0, 0, 1], port).into())]),
        };
        let update = Update::new(state).with_name_kind(NameKind::Host);
        early(update.clone());
        Box::pin(std::future::ready(update))
    }
}

fn opened(variable: &str, file: Option<Arc<OverridesFile>>, target: &str) -> Box<dyn Lookup> {
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    let plan = Plan::new(&target.parse().unwrap(), &scope);
    let variable = Arc::new(Overrides::parse(variable).unwrap());
    OverridesSource::new(variable, file, scope, Arc::new(Names)).open(&plan)
}

/// The endpoints, each with all its addresses, or the state.
async fn outcome(lookup: &mut dyn Lookup) -> String {
    let early = |update: Update| assert_eq!(update.name_kind, Some(NameKind::Service), "no proxy for early answers");
    let update = lookup.ask(&mut { early }).await;
    match update.state {
        State::Ready(endpoints) => {
            assert_eq!(update.name_kind, Some(NameKind::Service), "no proxy stands before it");
            let addrs =
                |endpoint: &Endpoint| endpoint.addrs().map(|addr| addr.to_string()).collect::<Vec<_>>().join("+");
            endpoints.iter().map(addrs).collect::<Vec<_>>().join(" ")
        }
        State::Failed(error) => error.to_string(),
        state => format!("{state:?}"),
    }
}

#[tokio::test]
async fn the_requests_go_where_the_override_says() {
    for (overrides, target, wanted) in [
        ("orders.shop=127.0.0.1:8080", "http://orders/", "127.0.0.1:8080"),
        ("orders=127.0.0.1:1,127.0.0.1:2", "http://orders/", "127.0.0.1:1 127.0.0.1:2"),
        ("orders=localhost:9", "orders:80", "127.0.0.1:9+[::1]:9"),
        ("orders=10.1.1.1", "https://orders/", "10.1.1.1:443"),
        ("orders=[fd00::1]", "orders:8443", "[fd00::1]:8443"),
        ("orders=dev.example.com:81", "orders:8443", "10.0.0.1:81"),
        ("orders=dev.example.com", "orders:8443", "10.0.0.1:8443"),
        ("orders=unknown:1", "orders", "Empty"),
        ("payments=127.0.0.1:1", "orders", "NotApplicable"),
        ("", "orders", "NotApplicable"),
    ] {
        assert_eq!(outcome(&mut *opened(overrides, None, target)).await, wanted, "{overrides} {target}");
    }
}

#[tokio::test]
async fn an_error_names_the_override() {
    for (overrides, wanted) in [
        (
            "orders=10.0.0.1",
            "the override `orders=10.0.0.1` has no port, and neither has `orders`; write `10.0.0.1:<port>`",
        ),
        ("orders=dev", "the override `orders=dev` has no port"),
        ("orders=failing:1", "the override is `orders=failing:1`, and the host cannot be looked up: refused"),
    ] {
        let text = outcome(&mut *opened(overrides, None, "orders")).await;
        assert!(text.contains(wanted), "{text}");
    }
}

/// A file that is removed at the end of the test.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("discovery-overrides-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    /// Replaces the file, whose new inode makes the change visible whatever the clock's resolution is.
    fn replace(&self, text: &str) {
        let next = self.0.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &self.0).unwrap();
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_file_is_reported_and_a_broken_file_changes_nothing() {
    let text = TempFile::new("changes", "# mine\norders=127.0.0.1:1\n");
    let file = Arc::new(OverridesFile::open(text.0.clone(), clock::now()).unwrap());
    let mut lookup = opened("payments=127.0.0.1:5", Some(file.clone()), "orders:80");
    assert_eq!(outcome(&mut *lookup).await, "127.0.0.1:1");
    text.replace("orders=127.0.0.1:2\n");
    lookup.changed().await;
    assert_eq!(outcome(&mut *lookup).await, "127.0.0.1:2");

    text.replace("orders\n");
    let quiet = tokio::time::timeout(CHECK_INTERVAL * 5, lookup.changed()).await;
    assert!(quiet.is_err(), "nothing has changed");
    assert_eq!(outcome(&mut *lookup).await, "127.0.0.1:2");
    assert!(file.describe().contains("line 1, `orders`: it has no `=`"), "{}", file.describe());

    text.replace("");
    lookup.changed().await;
    assert_eq!(outcome(&mut *lookup).await, "NotApplicable");
    text.replace("orders=127.0.0.1:3,payments=127.0.0.1:4");
    lookup.changed().await;
    assert_eq!(outcome(&mut *lookup).await, "127.0.0.1:3");
    let mut payments = opened("payments=127.0.0.1:5", Some(file), "payments");
    assert_eq!(outcome(&mut *payments).await, "127.0.0.1:5", "the variable wins");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let missing = OverridesFile::open("/nonexistent/overrides".into(), clock::now()).unwrap_err();
    let text = missing.to_string();
    assert!(missing.is_config() && text.contains("`DISCOVERY_OVERRIDES_FILE` is `/nonexistent/overrides`"), "{text}");
    let broken = TempFile::new("broken", "orders=10.0.0.1\norders=10.0.0.2");
    let text = OverridesFile::open(broken.0.clone(), clock::now()).unwrap_err().to_string();
    assert!(text.contains("line 2") && text.contains("overridden twice"), "{text}");
}
