//! The task on paused time, with a script in place of a registry.

use std::{collections::VecDeque, sync::Mutex};

use discovery_core::source::BoxFuture;

use super::{super::record::tests::record, *};
use crate::Registration;

/// Records the calls and responds to them: 200 unless scripted otherwise.
#[derive(Debug, Default)]
struct Script {
    calls: Mutex<Vec<String>>,
    /// Status codes by the beginning of the request line; each is used once. 0 is a connect error.
    answers: Mutex<VecDeque<(&'static str, u16)>>,
    latency: Duration,
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

impl Transport for Script {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        // Without the path of the application, and without the time stamp.
        let line = call.request_line().replace("apps/RATES", "").replace("/rates-0:rates:8080:10.0.0.1", "ID");
        let line = line.split("&lastDirtyTimestamp").next().unwrap_or_default().to_owned();
        Box::pin(async move {
            self.calls.lock().unwrap().push(line.clone());
            tokio::time::sleep(self.latency).await;
            let mut answers = self.answers.lock().unwrap();
            let at = answers.iter().position(|(begin, _)| line.starts_with(begin));
            let status = at.and_then(|at| answers.remove(at)).map_or(200, |(_, status)| status);
            drop(answers);
            match status {
                0 => Err(Error::unreachable("no registry")),
                status => Ok(Response::builder().status(status).body(HELD.into()).unwrap()),
            }
        })
    }
}

const HELD: &str = r#"{"instance":{"ipAddr":"10.0.0.1","port":{"$":8080,"@enabled":"true"}}}"#;

fn start(script: &Arc<Script>, health: Option<HealthCheck>) -> Registration {
    let record = record(Duration::from_secs(30), Duration::from_secs(90));
    Registration::start(record, Status::Up, script.clone(), Behavior::new(health, true))
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn registers_sends_heartbeats_and_deregisters() {
    let script = Script::answering([]);
    let registration = start(&script, None);
    registration.settled().await.unwrap();
    seconds(91).await;
    registration.shutdown(Duration::ZERO).await.unwrap();
    seconds(300).await;
    let beat = "PUT ID?status=UP";
    assert_eq!(script.calls(), ["POST ", "GET ID", beat, beat, beat, "DELETE ID"], "nothing after the DELETE");
}

/// Netflix #98, spring-cloud-netflix #1543: a registration in flight at shutdown must not arrive last.
#[tokio::test(start_paused = true)]
async fn awaits_a_request_in_flight_before_deregistering() {
    let script = Arc::new(Script { latency: Duration::from_secs(7), ..Script::default() });
    let registration = start(&script, None);
    seconds(1).await;
    assert_eq!(script.calls(), ["POST "]);
    let begun = tokio::time::Instant::now();
    registration.shutdown(Duration::from_secs(60)).await.unwrap();
    // 6 s until the response to the POST, 7 s for the DELETE, and the drain.
    assert_eq!(begun.elapsed().as_secs(), 73);
    assert_eq!(script.calls(), ["POST ", "DELETE ID"]);
}

#[tokio::test(start_paused = true)]
async fn drop_deregisters() {
    let script = Script::answering([]);
    drop(start(&script, None));
    seconds(100).await;
    assert_eq!(script.calls().last().map(String::as_str), Some("DELETE ID"));
    assert_eq!(script.count("DELETE"), 1);
}

#[tokio::test(start_paused = true)]
async fn reports_a_failed_deregistration_after_the_drain() {
    let script = Script::answering([("DELETE", 0)]);
    let registration = start(&script, None);
    registration.settled().await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(registration.shutdown(Duration::from_secs(60)).await.unwrap_err().is_unreachable());
    assert_eq!(begun.elapsed().as_secs(), 60);
}

/// Tomcat's 400 to an id counted as success. 404 is one: the registry does not know the pod.
#[tokio::test(start_paused = true)]
async fn a_refused_deregistration_is_an_error() {
    for (answer, error) in [(200, None), (404, None), (400, Some(400)), (401, Some(401)), (302, Some(302))] {
        let script = Script::answering([("DELETE", answer)]);
        let registration = start(&script, None);
        registration.settled().await.unwrap();
        let result = registration.shutdown(Duration::ZERO).await;
        assert_eq!(result.err().and_then(|error| error.status()), error, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn registers_when_the_registry_becomes_available() {
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
async fn registers_again_at_once_after_404() {
    let script = Script::answering([("PUT", 404)]);
    let registration = start(&script, None);
    seconds(31).await;
    assert_eq!(script.calls(), ["POST ", "GET ID", "PUT ID?status=UP", "POST ", "GET ID"]);
    assert_eq!(registration.state().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn sends_metadata_and_status_in_order() {
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
async fn runs_the_health_check_before_each_heartbeat() {
    let script = Script::answering([]);
    let result = Arc::new(Mutex::new(Status::Up));
    let current = result.clone();
    let health = HealthCheck::new(move || {
        let status = *current.lock().unwrap();
        async move { status }
    });
    let registration = start(&script, Some(health));
    seconds(31).await;
    *result.lock().unwrap() = Status::Down;
    seconds(30).await;
    assert_eq!(registration.status(), Status::Down);
    assert_eq!(script.calls(), ["POST ", "GET ID", "PUT ID?status=UP", "POST ", "GET ID"]);
    seconds(30).await;
    assert_eq!(script.calls().last().map(String::as_str), Some("PUT ID?status=DOWN"));
}

#[tokio::test(start_paused = true)]
async fn status_is_down_when_the_health_check_panics_or_hangs() {
    let check = HealthCheck::new(|| async { panic!("a bug in a check") });
    assert_eq!(check.run().await, Status::Down);
    let check = HealthCheck::new(std::future::pending);
    assert_eq!(check.run().await, Status::Down);
}

#[tokio::test(start_paused = true)]
async fn skips_the_health_check_while_starting_or_out_of_service() {
    let script = Script::answering([]);
    let health = HealthCheck::new(|| async { panic!("must not run") });
    let registration = start(&script, Some(health));
    registration.set_status(Status::OutOfService);
    seconds(200).await;
    assert_eq!(registration.status(), Status::OutOfService);
    registration.set_status(Status::Starting);
    seconds(200).await;
    assert_eq!(registration.status(), Status::Starting);
}

/// A check that returns `results` in turn, then the last one; and how often it ran.
fn scripted_check(results: &'static [Status]) -> (HealthCheck, Arc<Mutex<usize>>) {
    let runs = Arc::new(Mutex::new(0));
    let counted = runs.clone();
    let check = HealthCheck::new(move || {
        let mut runs = counted.lock().unwrap();
        *runs += 1;
        let status = *results.get(*runs - 1).or(results.last()).unwrap();
        async move { status }
    });
    (check, runs)
}

/// A check that answered OUT_OF_SERVICE or STARTING once was never asked again.
#[tokio::test(start_paused = true)]
async fn asks_the_health_check_again_whatever_it_answered() {
    for answer in [
        &[Status::OutOfService, Status::Up],
        &[Status::Starting, Status::Up],
        &[Status::Down, Status::Up],
        &[Status::Unknown, Status::Up],
    ] {
        let script = Script::answering([]);
        let (check, runs) = scripted_check(answer);
        let registration = start(&script, Some(check));
        seconds(31).await;
        let expected = if answer[0] == Status::Unknown { Status::Up } else { answer[0] };
        assert_eq!((registration.status(), *runs.lock().unwrap()), (expected, 1));
        seconds(30).await;
        assert_eq!((registration.status(), *runs.lock().unwrap()), (Status::Up, 2), "{answer:?}");
        registration.settled().await.unwrap();
        seconds(30).await;
        assert_eq!(*runs.lock().unwrap(), 3, "{answer:?}");
    }
}

/// An answer that has to be registered stops the heartbeats until the registry accepts it.
#[tokio::test(start_paused = true)]
async fn asks_the_health_check_while_the_registry_refuses_its_answer() {
    let script = Script::answering([("POST", 200)].into_iter().chain([("POST", 503); 20]));
    let (check, runs) = scripted_check(&[Status::Down, Status::Down, Status::Up]);
    let registration = start(&script, Some(check));
    seconds(31).await;
    assert_eq!(registration.status(), Status::Down);
    seconds(100).await;
    assert!(!registration.state().registered);
    assert_eq!(registration.status(), Status::Up, "{} runs", runs.lock().unwrap());
    let runs = *runs.lock().unwrap();
    assert!((3..=5).contains(&runs), "{runs} runs: once per interval");
}

/// What the application sets is kept, even if the check gave the same answer before.
#[tokio::test(start_paused = true)]
async fn keeps_out_of_service_of_the_application_after_the_same_answer_of_the_check() {
    let script = Script::answering([]);
    let (check, runs) = scripted_check(&[Status::OutOfService, Status::Up]);
    let registration = start(&script, Some(check));
    seconds(31).await;
    registration.set_status(Status::OutOfService);
    seconds(200).await;
    assert_eq!((registration.status(), *runs.lock().unwrap()), (Status::OutOfService, 1));
    registration.set_status(Status::Up);
    seconds(31).await;
    assert_eq!((registration.status(), *runs.lock().unwrap()), (Status::Up, 2));
}

#[tokio::test(start_paused = true)]
async fn sends_nothing_at_the_end_if_it_stays_registered() {
    for dropped in [true, false] {
        let script = Script::answering([]);
        let record = record(Duration::from_secs(30), Duration::from_secs(90));
        let registration = Registration::start(record, Status::Up, script.clone(), Behavior::new(None, false));
        let mut events = registration.events();
        seconds(40).await;
        let sent = script.calls();
        if dropped {
            drop(registration)
        } else {
            registration.shutdown(Duration::ZERO).await.unwrap()
        }
        seconds(200).await;
        assert_eq!(script.calls(), sent);
        assert!(!sent.iter().any(|line| line.starts_with("DELETE")), "{sent:?}");
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            seen.push(event);
        }
        use crate::RegistrationEvent::{Ended, Registered};
        assert!(matches!(seen[..], [Registered, Ended(None)]), "{seen:?}");
    }
}
