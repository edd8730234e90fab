//! Any text is parsed, or rejected with an error that is safe to log. A parsed target prints as text that parses to the
//! same target.
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

    // Every target can be planned, and the plan holds only names that fit into a question.
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    for candidate in Plan::new(&target, &scope).dns {
        let text = format!("{:?}", candidate.question);
        assert!(text.len() < 600, "{text}");
    }
});
