//! An explanation and an error name every source that was queried and its answer.

use std::{collections::BTreeSet, sync::Arc};

use discovery_core::{Error, policy::Tried};
use discovery_testing::{ManualSource, Rule};
use tests::{addrs, brisk, in_pod, within};

use crate::support::dns::{dns_with_orders, manual, pod};

#[tokio::test]
async fn an_explanation_names_sources_answers_and_winner() {
    let dns = dns_with_orders().await;
    let (source, handle) = ManualSource::new();
    let build = || in_pod(&dns, "shop").refresh(brisk()).source(Arc::new(source.clone())).build().unwrap();
    let orders = within("orders", build().resolve("orders:80")).await.unwrap();
    let explanation = orders.explain();
    let steps: Vec<_> = explanation.steps.iter().map(|step| (step.source, step.verdict.as_str())).collect();
    assert_eq!(
        steps,
        [("fixed", "not applicable"), ("env", "not applicable"), ("manual", "not applicable"), ("dns", "1 endpoint")]
    );
    assert_eq!((explanation.winner, explanation.freshness.as_str()), (Some("dns"), "fresh"));
    assert_eq!(addrs(&explanation.endpoints), ["10.0.0.1:80"]);
    let text = explanation.to_string();
    for part in [
        "own namespace: shop (POD_NAMESPACE)",
        "cluster domain: cluster.local (search list of resolv.conf)",
        &dns.addr().to_string(),
        "ORDERS_SERVICE_HOST: not set",
        "A orders.shop.svc.cluster.local.: 10.0.0.1, TTL 0s",
        "dns: 1 endpoint  <- won",
        "now fresh",
        "10.0.0.1:80",
    ] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }

    // Another source wins, and DNS is not queried.
    handle.set(["10.9.9.9:80"]);
    let orders = within("orders", build().resolve("orders:80")).await.unwrap();
    assert_eq!((orders.explain().winner, orders.explain().steps.len()), (Some("manual"), 3));

    // No source wins.
    handle.fail("the registry is down");
    dns.script(Rule::any().refuse());
    let orders = build().upstream("orders:80").unwrap();
    assert!(within("an answer", orders.first_answer()).await.is_err());
    let text = orders.explain().to_string();
    assert_eq!(orders.explain().winner, None);
    assert!(text.contains("manual: failed: the registry is down") && text.contains("Refused"), "{text}");
}

#[tokio::test]
async fn an_error_keeps_the_cause_of_every_source() {
    let dns = dns_with_orders().await;
    let error = within("a negative answer", pod(&dns).resolve("nobody:80")).await.unwrap_err();
    assert!(error.is_not_found());
    let causes: Vec<String> = error.causes().iter().map(ToString::to_string).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes[0].contains("NOBODY_SERVICE_HOST: not set"), "{causes:?}");
    assert!(causes[1].contains("nobody.shop.svc.cluster.local.: no such name (NXDOMAIN)"), "{causes:?}");

    // The source that fails might know the name, so that the negative answers of the others do not count.
    let (source, handle) = ManualSource::new();
    handle.fail("the registry is down");
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).build().unwrap();
    let error = within("an error", resolver.resolve("nobody:80")).await.unwrap_err();
    assert!(error.is_transient() && !error.is_not_found(), "{error}");
    assert_eq!(error.causes().len(), 3, "{error}");
    for part in ["NOBODY_SERVICE_HOST", "the registry is down", "NXDOMAIN", "`nobody:80`"] {
        assert!(error.to_string().contains(part), "`{part}` in {error}");
    }
}

#[tokio::test]
async fn a_pick_without_endpoints_says_why() {
    let (resolver, handle) = manual();
    let orders = resolver.upstream("orders:80").unwrap();
    let unknown = orders.pick().unwrap_err();
    assert!(
        unknown.is_transient()
            && unknown.to_string().contains("no source has answered; await `Upstream::first_answer`"),
        "{unknown}"
    );

    let reason = async |is: fn(&Error) -> bool| {
        while !orders.pick().is_err_and(|error| is(&error)) {
            tokio::task::yield_now().await;
        }
        orders.pick().unwrap_err().to_string()
    };
    handle.not_found();
    let text = within("not found", reason(|error| error.is_not_found())).await;
    assert!(text.contains("`orders:80` was not found") && text.contains("manual"), "{text}");
    handle.empty();
    let text = within("empty", reason(|error| error.is_no_endpoints())).await;
    assert!(text.contains("`orders:80` has no endpoints") && text.contains("manual"), "{text}");
    handle.fail("the registry is down");
    let text = within("failed", reason(|error| error.is_transient())).await;
    assert!(text.contains("the registry is down"), "{text}");

    handle.set(["10.0.0.1:80", "10.0.0.2:80"]);
    within("endpoints", orders.ready()).await.unwrap();
    let mut tried = Tried::new();
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let pick = orders.pick_untried(&tried).unwrap();
        tried.add(pick.endpoint().identity());
        seen.insert(pick.endpoint().addr());
    }
    assert_eq!(seen.len(), 2);
    let error = orders.pick_untried(&tried).unwrap_err();
    assert!(error.is_all_tried() && !error.is_no_endpoints(), "{error}");
}
