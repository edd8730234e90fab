//! The events of a registration, and its end.

use std::time::Duration;

use discovery_eureka::{Registration, RegistrationBuilder, RegistrationEvent, RegistrationEvents, Status};
use tests::within;

use crate::{
    client, ms,
    script::{Registry, json, record, status},
    until,
};

fn builder(registry: &Registry) -> RegistrationBuilder {
    Registration::builder(&client(), registry.url(), "rates")
        .ip([127, 0, 0, 1].into())
        .port(8080)
        .lease(ms(50), Duration::from_secs(90))
        .env([("POD_NAME", "rates-0")])
}

async fn next(events: &mut RegistrationEvents) -> RegistrationEvent {
    within("an event", events.next()).await.expect("an event before the end")
}

#[tokio::test]
async fn reports_the_life_of_a_registration() {
    use RegistrationEvent::{Deregistered, Failed, Lost, Recovered, Registered, StatusChanged};

    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let registration = builder(&registry).register().await.unwrap();
    let mut events = registration.events();
    assert!(matches!(next(&mut events).await, Registered));

    registration.set_status(Status::Down);
    assert!(matches!(next(&mut events).await, StatusChanged(Status::Down)));
    registration.set_status(Status::Up);
    assert!(matches!(next(&mut events).await, StatusChanged(Status::Up)));
    within("settled", registration.settled()).await.unwrap();

    registry.on("PUT", "apps/.+", status(500)).await;
    assert!(matches!(next(&mut events).await, Failed(error) if error.status() == Some(500)));
    registry.on("PUT", "apps/.+", status(200)).await;
    assert!(matches!(next(&mut events).await, Recovered));

    registry.next(1, "PUT", "apps/.+", status(404)).await;
    assert!(matches!(next(&mut events).await, Lost));
    assert!(matches!(next(&mut events).await, Registered));

    // A second subscriber sees what is true now.
    let mut late = registration.events();
    let first = [next(&mut late).await, next(&mut late).await];
    assert!(matches!(first, [Lost, Registered]), "{first:?}");

    within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
    assert!(matches!(next(&mut events).await, Deregistered));
    assert!(events.next().await.is_none() && events.next().await.is_none());
}

#[tokio::test]
async fn reports_an_operators_override() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let registration = builder(&registry).register().await.unwrap();
    let mut events = registration.events();
    assert!(matches!(next(&mut events).await, RegistrationEvent::Registered));
    let held = format!(r#"{{"instance":{}}}"#, record("RATES", "any", 8080, "OUT_OF_SERVICE"));
    registry.on("GET", "apps/[^/]+/.+", json(held)).await;
    assert!(matches!(next(&mut events).await, RegistrationEvent::Overridden(Some(Status::OutOfService))));
    registry.accepts_all(8080).await;
    assert!(matches!(next(&mut events).await, RegistrationEvent::Overridden(None)));
}

#[tokio::test]
async fn a_failed_deregistration_is_the_last_event() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    registry.on("DELETE", "apps/.+", status(500)).await;
    let registration = builder(&registry).register().await.unwrap();
    let mut events = registration.events();
    assert!(matches!(next(&mut events).await, RegistrationEvent::Registered));
    drop(registration);
    let last = next(&mut events).await;
    assert!(matches!(&last, RegistrationEvent::Ended(Some(error)) if error.status() == Some(500)), "{last:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn stays_registered_on_shutdown_if_configured() {
    for dropped in [false, true] {
        let registry = Registry::start().await;
        registry.accepts_all(8080).await;
        let registration = builder(&registry).unregister_on_shutdown(false).register().await.unwrap();
        let mut events = registration.events();
        until("a heartbeat", || async { registry.count("PUT").await >= 1 }).await;
        if dropped {
            drop(registration);
        } else {
            within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
        }
        loop {
            match next(&mut events).await {
                RegistrationEvent::Ended(None) => break,
                RegistrationEvent::Deregistered => panic!("deregistered"),
                _ => {}
            }
        }
        let sent = registry.asked().await.len();
        tokio::time::sleep(ms(200)).await;
        assert_eq!((registry.count("DELETE").await, registry.asked().await.len()), (0, sent), "heartbeats end as well");
    }
}
