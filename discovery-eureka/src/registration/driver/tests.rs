//! The task, on paused time, against a script in place of a registry.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use discovery_core::source::BoxFuture;

use super::{super::machine::tests::record, *};
use crate::Registration;

/// Takes the calls, and answers as it is told; 200 where it is told nothing.
#[derive(Debug, Default)]
struct Script {
    calls: Mutex<Vec<String>>,
    /// Answers for the calls whose text begins with this; each is used once.
    answers: Mutex<VecDeque<(&'static str, u16)>>,
    /// How long each answer takes.
    takes: Duration,
}

impl Script {
    fn answering(answers: impl IntoIterator<Item = (&'static str, u16)>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn count(&self, begin: &str) -> usize {
        self.calls().iter().filter(|call| call.starts_with(begin)).count()
    }
}

impl Ask for Script {
    fn ask(&self, call: Call) -> BoxFuture<'_, Result<Answer, Error>> {
        let query: Vec<_> =
            call.query.iter().filter(|(k, _)| k != "lastDirtyTimestamp").map(|(k, v)| format!("{k}={v}")).collect();
        let text = format!("{} {}?{}", call.method, call.path[2..].join("/"), query.join("&"));
        let text = text.trim_end_matches('?').replace("rates-0:rates:8080:10.0.0.1", "ID");
        Box::pin(async move {
            self.calls.lock().unwrap().push(text.clone());
            tokio::time::sleep(self.takes).await;
            let mut answers = self.answers.lock().unwrap();
            let at = answers.iter().position(|(begin, _)| text.starts_with(begin));
            let status = at.and_then(|at| answers.remove(at)).map_or(200, |(_, status)| status);
            drop(answers);
            match status {
                0 => Err(Error::unreachable("nobody there")),
                status => Ok(Answer { status, body: HELD.into() }),
            }
        })
    }
}

const HELD: &str = r#"{"instance":{"ipAddr":"10.0.0.1","port":{"$":8080,"@enabled":"true"}}}"#;

fn start(script: &Arc<Script>, health: Option<Health>) -> Registration {
    let wall = Wall::new();
    let machine = Machine::new(record(), Status::Up, now(), wall.now());
    let (commands, received) = mpsc::unbounded_channel();
    let (told, state) = watch::channel(machine.state.clone());
    let (id, app) = (machine.record.id.clone(), machine.record.app.clone());
    tokio::spawn(Driver { machine, registry: script.clone(), health, wall, commands: received, told }.run());
    Registration { id, app, commands, state }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn registered_kept_and_deregistered() {
    let script = Script::answering([]);
    let registration = start(&script, None);
    registration.settled().await.unwrap();
    seconds(91).await;
    registration.shutdown(Duration::ZERO).await.unwrap();
    seconds(300).await;
    let beat = "PUT ID?status=UP";
    assert_eq!(script.calls(), ["POST ", "GET ID", beat, beat, beat, "DELETE ID"], "nothing after the DELETE");
}

/// Netflix #98, spring-cloud-netflix #1543: a registration that is on its way when the pod ends must not come last.
#[tokio::test(start_paused = true)]
async fn a_request_on_its_way_is_awaited_before_the_last_one() {
    let script = Arc::new(Script { takes: Duration::from_secs(7), ..Script::default() });
    let registration = start(&script, None);
    seconds(1).await;
    assert_eq!(script.calls(), ["POST "]);
    let begun = tokio::time::Instant::now();
    registration.shutdown(Duration::from_secs(60)).await.unwrap();
    // 6 s until the POST is answered, 7 s for the DELETE, and the drain.
    assert_eq!(begun.elapsed().as_secs(), 73);
    assert_eq!(script.calls(), ["POST ", "DELETE ID"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_registration_deregisters_as_well() {
    let script = Script::answering([]);
    drop(start(&script, None));
    seconds(100).await;
    assert_eq!(script.calls().last().map(String::as_str), Some("DELETE ID"));
    assert_eq!(script.count("DELETE"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deregistration_that_fails_is_told_after_the_drain() {
    let script = Script::answering([("DELETE", 0)]);
    let registration = start(&script, None);
    registration.settled().await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(registration.shutdown(Duration::from_secs(60)).await.unwrap_err().is_unreachable());
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_comes_late_is_told() {
    let script = Script::answering([("POST", 0), ("POST", 503), ("POST", 0)]);
    let registration = start(&script, None);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let state = registration.state();
    assert!(!state.registered && state.error.is_some(), "{state:?}");
    registration.settled().await.unwrap();
    assert_eq!(script.count("POST"), 4);
    assert!(registration.state().error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_has_forgotten_is_told_at_once() {
    let script = Script::answering([("PUT", 404)]);
    let registration = start(&script, None);
    seconds(31).await;
    assert_eq!(script.calls(), ["POST ", "GET ID", "PUT ID?status=UP", "POST ", "GET ID"]);
    assert_eq!(registration.state().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_and_metadata_are_told_in_their_order() {
    let script = Script::answering([]);
    let registration = start(&script, None);
    registration.settled().await.unwrap();
    registration.set_metadata("a b", "c&d");
    registration.set_status(Status::OutOfService);
    registration.settled().await.unwrap();
    registration.set_status(Status::Up);
    registration.settled().await.unwrap();
    let calls = script.calls();
    let wanted = [
        "PUT ID/metadata?a b=c&d",
        "PUT ID/status?value=OUT_OF_SERVICE",
        "PUT ID/status?value=UP",
        "DELETE ID/status?value=UP",
    ];
    assert_eq!(calls[2..], wanted);
    registration.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_health_check_is_asked_before_each_heartbeat() {
    let script = Script::answering([]);
    let says = Arc::new(Mutex::new(Status::Up));
    let asked = says.clone();
    let health = Health::new(move || {
        let status = *asked.lock().unwrap();
        async move { status }
    });
    let registration = start(&script, Some(health));
    seconds(31).await;
    *says.lock().unwrap() = Status::Down;
    seconds(30).await;
    assert_eq!(registration.status(), Status::Down);
    assert_eq!(script.calls(), ["POST ", "GET ID", "PUT ID?status=UP", "POST ", "GET ID"]);
    seconds(30).await;
    assert_eq!(script.calls().last().map(String::as_str), Some("PUT ID?status=DOWN"));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_panics_or_hangs_is_down() {
    let check = Health::new(|| async { panic!("a bug in a check") });
    assert_eq!(check.ask().await, Status::Down);
    let check = Health::new(std::future::pending);
    assert_eq!(check.ask().await, Status::Down);
}

#[tokio::test(start_paused = true)]
async fn the_health_check_is_not_asked_while_out_of_service() {
    let script = Script::answering([]);
    let health = Health::new(|| async { panic!("not to be asked") });
    let registration = start(&script, Some(health));
    registration.set_status(Status::OutOfService);
    seconds(200).await;
    assert_eq!(registration.status(), Status::OutOfService);
    registration.set_status(Status::Starting);
    seconds(200).await;
    assert_eq!(registration.status(), Status::Starting);
}
