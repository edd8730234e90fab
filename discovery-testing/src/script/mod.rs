//! Rules that alter or suppress answers. Pure: a rule is asked, and counts.

mod rule;

use std::time::Duration;

pub(crate) use self::rule::Action;
pub use self::rule::{Rule, RuleId};
use crate::question::Asked;

/// The rules in force, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<(RuleId, Rule)>,
    next: u64,
}

/// What the script says about one question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    /// Seconds, in place of the TTL of every record.
    pub(crate) ttl: Option<u32>,
    pub(crate) action: Action,
}

impl Script {
    pub(crate) fn add(&mut self, rule: Rule) -> RuleId {
        let id = RuleId::new(self.next);
        self.next += 1;
        self.rules.push((id, rule));
        id
    }

    pub(crate) fn remove(&mut self, id: RuleId) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(held, _)| *held != id);
        self.rules.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The first rule that matches and is neither waiting nor used up decides.
    pub(crate) fn decide(&mut self, asked: &Asked) -> Verdict {
        self.rules.iter_mut().find_map(|(_, rule)| rule.take(asked)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{QType, Transport};

    fn asked(name: &str, qtype: QType, transport: Transport) -> Asked {
        Asked { name: name.to_owned(), qtype, transport, from: ([127, 0, 0, 1], 9).into(), dropped: false }
    }

    fn udp(name: &str) -> Asked {
        asked(name, QType::A, Transport::Udp)
    }

    #[test]
    fn no_rule_changes_nothing() {
        assert_eq!(Script::default().decide(&udp("a.")), Verdict::default());
    }

    #[test]
    fn matches_name_without_case_type_and_transport() {
        let mut script = Script::default();
        let rule = Rule::any().name("A.b").qtype(QType::SRV);
        script.add(rule.over(Transport::Tcp).drop());
        for (name, qtype, transport, action) in [
            ("a.b.", QType::SRV, Transport::Tcp, Action::Drop),
            ("b.", QType::SRV, Transport::Tcp, Action::Answer),
            ("a.b.", QType::A, Transport::Tcp, Action::Answer),
            ("a.b.", QType::SRV, Transport::Udp, Action::Answer),
        ] {
            assert_eq!(script.decide(&asked(name, qtype, transport)).action, action);
        }
    }

    #[test]
    fn rules_take_turns_as_they_are_used_up() {
        let mut script = Script::default();
        script.add(Rule::any().after(1).times(2).drop());
        script.add(Rule::any().times(2).servfail());
        script.add(Rule::any().refuse());
        let seen: Vec<Action> = (0..5).map(|_| script.decide(&udp("a.")).action).collect();
        let (drop, fail) = (Action::Drop, Action::ServFail);
        assert_eq!(seen, [fail.clone(), drop.clone(), drop, fail, Action::Refuse]);
    }

    #[test]
    fn truncation_is_a_matter_of_udp() {
        let mut script = Script::default();
        script.add(Rule::any().truncate());
        let over_tcp = asked("a.", QType::A, Transport::Tcp);
        assert_eq!(script.decide(&over_tcp).action, Action::Answer);
        assert_eq!(script.decide(&udp("a.")).action, Action::Truncate(0));
    }

    #[test]
    fn modifiers_go_with_any_action() {
        let mut script = Script::default();
        let id = script.add(Rule::any().delay(Duration::from_secs(1)).ttl(7).nodata());
        let verdict = script.decide(&udp("a."));
        assert_eq!(verdict.delay, Duration::from_secs(1));
        assert_eq!((verdict.ttl, verdict.action), (Some(7), Action::NoData));
        assert!(script.remove(id));
        assert!(!script.remove(id));
    }
}
