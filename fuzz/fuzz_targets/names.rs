//! Any text is read or refused, with a reason that is safe to log; what is read prints as itself.
#![no_main]

use discovery_core::{
    name::{ClusterDomain, Namespace, Target},
    plan::{Plan, Scope},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let target = match Target::new(input) {
        Ok(target) => target,
        Err(error) => {
            assert!(!error.rule().is_empty() && !error.remedy().is_empty());
            assert!(error.to_string().chars().all(|c| !c.is_control()), "{error:?}");
            return;
        }
    };
    let text = target.to_string();
    assert_eq!(Target::new(&text).as_ref(), Ok(&target), "{input:?} prints as {text:?}");

    // Whatever is read can be planned, and only names that fit in a question are asked.
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    for candidate in Plan::new(&target, &scope).dns {
        let text = format!("{:?}", candidate.question);
        assert!(text.len() < 600, "{text}");
    }
});
