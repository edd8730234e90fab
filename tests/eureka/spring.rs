//! A service that moved from Spring: its variables, and what the registry lists afterwards.

use std::time::Duration;

use discovery_core::Environment;
use discovery_eureka::{RegistrationEvent, SpringSettings, Status};
use discovery_testing::FakePod;

use crate::harness::{on_eureka, until, within};

/// A real server stores what the variables say, and its lists have lease, override, URLs and metadata.
#[test]
fn a_server_lists_what_the_variables_registered() {
    on_eureka(1, |world| async move {
        let (server, pod) = (&world.servers[0], FakePod::start("rates-0").await.unwrap());
        let (url, port, ip) = (server.url(), pod.addr().port().to_string(), pod.ip().to_string());
        let environment = Environment::empty().with_env([
            ("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", url.as_str()),
            ("SPRING_APPLICATION_NAME", "rates"),
            ("SERVER_PORT", port.as_str()),
            ("POD_NAME", "rates-0"),
            ("EUREKA_INSTANCE_IP_ADDRESS", ip.as_str()),
            ("EUREKA_INSTANCE_LEASERENEWALINTERVALINSECONDS", "1"),
            ("EUREKA_INSTANCE_LEASEEXPIRATIONDURATIONINSECONDS", "3"),
            ("EUREKA_INSTANCE_HEALTHCHECKURLPATH", "/actuator/health"),
            ("EUREKA_INSTANCE_METADATAMAP_VERSION", "2"),
            ("EUREKA_CLIENT_SHOULDUNREGISTERONSHUTDOWN", "false"),
        ]);
        let settings = SpringSettings::from_environment(&environment).unwrap();
        let registry = settings.registry(&world.client()).build().unwrap();
        let registration = settings.registration(&registry).unwrap().register().await.unwrap();
        let mut events = registration.events();
        within("settled", registration.settled()).await.unwrap();

        until("the server lists the application", || async { registry.applications().await.unwrap().len() == 1 }).await;
        let applications = registry.applications().await.unwrap();
        assert_eq!((applications[0].name.as_str(), applications[0].instances.len()), ("RATES", 1));
        let [listed] = &registry.instances("rates").await.unwrap()[..] else { panic!("one instance") };
        assert_eq!(
            (listed.id.as_str(), listed.status, listed.overridden_status),
            (registration.id(), Status::Up, None)
        );
        let lease = listed.lease.unwrap();
        assert_eq!(
            (lease.renewal_interval, lease.duration),
            (Some(Duration::from_secs(1)), Some(Duration::from_secs(3)))
        );
        assert!(lease.registered_at.is_some() && lease.renewed_at.is_some() && lease.evicted_at.is_none(), "{lease:?}");
        let health = format!("http://{ip}:{port}/actuator/health");
        assert_eq!(listed.urls.health_check.as_deref(), Some(health.as_str()));
        assert_eq!((listed.metadata["version"].as_str(), listed.data_center.as_deref()), ("2", Some("MyOwn")));
        assert_eq!(registry.instance("rates", "rates-9").await.unwrap(), None);
        assert!(registry.instances("orders").await.unwrap().is_empty());

        // An operator takes the instance out of service.
        let override_url = format!("{url}/apps/RATES/{}/status?value=OUT_OF_SERVICE", registration.id());
        reqwest::Client::new().put(override_url).send().await.unwrap().error_for_status().unwrap();
        let overridden = async {
            while !matches!(events.next().await.unwrap(), RegistrationEvent::Overridden(Some(Status::OutOfService))) {}
        };
        within("the event", overridden).await;
        let listed = registry.instance("rates", registration.id()).await.unwrap().unwrap();
        assert_eq!((listed.status, listed.overridden_status), (Status::OutOfService, Some(Status::OutOfService)));

        // The record outlives the process, as configured.
        let id = registration.id().to_owned();
        within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
        assert!(registry.instance("rates", &id).await.unwrap().is_some());
        until("evicted", || async { registry.instance("rates", &id).await.unwrap().is_none() }).await;
    });
}

/// Two versions of an application: one source for each, of one registry.
#[test]
fn a_source_chooses_a_version() {
    on_eureka(1, |world| async move {
        let all = world.source().build().unwrap();
        let canary = all.matching(|instance| instance.metadata.get("version").is_some_and(|version| version == "2"));
        let (all, canary) = (world.resolver(&all), world.resolver(&canary));
        let (all, canary) = (all.upstream("http://rates").unwrap(), canary.upstream("http://rates").unwrap());
        let _one = world.pod_with("rates", "rates-1", |builder| builder.metadata("version", "1")).await;
        let two = world.pod_with("rates", "rates-2", |builder| builder.metadata("version", "2")).await;
        crate::harness::until_endpoints(&all, 2).await;
        crate::harness::until_endpoints(&canary, 1).await;
        assert_eq!(canary.endpoints()[0].addr(), two.server.addr());
        two.registration.set_metadata("version", "1");
        crate::harness::until_endpoints(&canary, 0).await;
        assert_eq!(all.endpoints().len(), 2);
    });
}
