//! Rules that change or suppress answers. Pure: a rule counts the queries that it is shown.

use std::{fmt, time::Duration};

use crate::{
    name::normalize,
    query::{QType, ReceivedQuery, Transport},
};

/// The rules in force, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<(RuleId, Rule)>,
    next: u64,
}

impl Script {
    pub(crate) fn add(&mut self, rule: Rule) -> RuleId {
        let id = RuleId(self.next);
        self.next += 1;
        self.rules.push((id, rule));
        id
    }

    pub(crate) fn remove(&mut self, id: RuleId) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(known, _)| *known != id);
        self.rules.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Returns the verdict of the oldest rule that matches, has skipped its queries, and is not used up.
    pub(crate) fn decide(&mut self, query: &ReceivedQuery) -> Verdict {
        self.rules.iter_mut().find_map(|(_, rule)| rule.decide(query)).unwrap_or_default()
    }
}

/// What the script decides about one query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    /// Replaces the TTL of every record, in seconds.
    pub(crate) ttl: Option<u32>,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Action {
    #[default]
    Answer,
    Drop,
    Disconnect,
    /// Sets TC, and keeps this many records of the answer.
    Truncate(usize),
    ServFail,
    Refuse,
    NxDomain,
    NoData,
    Garbage,
    Raw(Vec<u8>),
}

/// An instruction to the server: which queries it applies to, how many of them, and what happens to the answer.
///
/// All conditions must hold. If several rules match a query, the oldest one that is not used up decides. Rules with
/// [`times`](Self::times) therefore apply one after another. A rule without an action answers as usual, which makes an
/// exception to later rules.
///
/// ```
/// use discovery_testing::{QType, Rule, Transport};
/// use std::time::Duration;
///
/// let lost = Rule::any().name("orders.shop.svc.cluster.local").over(Transport::Udp).times(3).drop();
/// let slow = Rule::any().qtype(QType::AAAA).delay(Duration::from_millis(200));
/// let late_failure = Rule::any().after(10).delay(Duration::from_millis(50)).servfail();
/// # let _ = (lost, slow, late_failure);
/// ```
#[must_use = "a Rule does nothing until it is given to `FakeDns::script`"]
pub struct Rule {
    name: Option<String>,
    qtype: Option<QType>,
    transport: Option<Transport>,
    predicate: Option<Predicate>,
    /// How many matching queries still to skip.
    skip: usize,
    /// How many matching queries still to decide; `None` is unlimited.
    left: Option<usize>,
    verdict: Verdict,
}

type Predicate = Box<dyn Fn(&ReceivedQuery) -> bool + Send>;

/// Identifies a rule for [`FakeDns::remove_rule`](crate::FakeDns::remove_rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(u64);

/// Conditions.
impl Rule {
    /// Matches every query.
    pub fn any() -> Self {
        Self {
            name: None,
            qtype: None,
            transport: None,
            predicate: None,
            skip: 0,
            left: None,
            verdict: Verdict::default(),
        }
    }

    /// Matches the queries for which `predicate` returns true. `dropped` is not known yet and false.
    pub fn when(predicate: impl Fn(&ReceivedQuery) -> bool + Send + 'static) -> Self {
        Self { predicate: Some(Box::new(predicate)), ..Self::any() }
    }

    /// Matches only this name. Case and a trailing dot do not matter.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(normalize(name));
        self
    }

    /// Matches only this type.
    pub fn qtype(mut self, qtype: QType) -> Self {
        self.qtype = Some(qtype);
        self
    }

    /// Matches only queries over this transport.
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Skips the first `n` matching queries.
    pub fn after(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// Applies to `n` matching queries, and is used up then.
    pub fn times(mut self, n: usize) -> Self {
        self.left = Some(n);
        self
    }
}

/// Changes to the answer, which combine with any action.
impl Rule {
    /// Delays the answer. Other queries are answered in the meantime.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.verdict.delay = delay;
        self
    }

    /// Sets the TTL of every record in the answer, in seconds, and the minimum of an SOA.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.verdict.ttl = Some(seconds);
        self
    }
}

/// Actions. The last one counts.
impl Rule {
    /// Does not answer, as if a packet was lost.
    pub fn drop(self) -> Self {
        self.action(Action::Drop)
    }

    /// Does not answer the first `n` matching queries, and answers all later ones as usual.
    pub fn answer_only_after(self, n: usize) -> Self {
        self.times(n).drop()
    }

    /// Does not answer, and closes a TCP connection. Over UDP the same as [`drop`](Self::drop).
    pub fn disconnect(self) -> Self {
        self.action(Action::Disconnect)
    }

    /// Sends an empty answer with the TC flag. UDP only: a query over TCP does not match.
    pub fn truncate(self) -> Self {
        self.truncate_to(0)
    }

    /// Sends the TC flag and the first `records` records. UDP only: a query over TCP does not match.
    pub fn truncate_to(self, records: usize) -> Self {
        self.over(Transport::Udp).action(Action::Truncate(records))
    }

    /// Answers SERVFAIL.
    pub fn servfail(self) -> Self {
        self.action(Action::ServFail)
    }

    /// Answers REFUSED.
    pub fn refuse(self) -> Self {
        self.action(Action::Refuse)
    }

    /// Answers NXDOMAIN with an SOA.
    pub fn nxdomain(self) -> Self {
        self.action(Action::NxDomain)
    }

    /// Answers NODATA: NOERROR without a record, with an SOA.
    pub fn nodata(self) -> Self {
        self.action(Action::NoData)
    }

    /// Sends bytes that start with the id of the query, but are not a DNS message.
    pub fn garbage(self) -> Self {
        self.action(Action::Garbage)
    }

    /// Sends exactly these bytes; over TCP after the length prefix.
    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.action(Action::Raw(bytes.into()))
    }

    fn action(mut self, action: Action) -> Self {
        self.verdict.action = action;
        self
    }

    /// Counts a query; returns the verdict if this rule applies.
    fn decide(&mut self, query: &ReceivedQuery) -> Option<Verdict> {
        if self.left == Some(0) || !self.matches(query) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Some(self.verdict.clone())
    }

    fn matches(&self, query: &ReceivedQuery) -> bool {
        self.name.as_ref().is_none_or(|name| *name == query.name)
            && self.qtype.is_none_or(|qtype| qtype == query.qtype)
            && self.transport.is_none_or(|over| over == query.transport)
            && self.predicate.as_ref().is_none_or(|holds| holds(query))
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("qtype", &self.qtype)
            .field("transport", &self.transport)
            .field("skip", &self.skip)
            .field("left", &self.left)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn query(name: &str, qtype: QType, transport: Transport) -> ReceivedQuery {
        ReceivedQuery { name: name.to_owned(), qtype, transport, from: ([127, 0, 0, 1], 9).into(), dropped: false }
    }

    fn udp(name: &str) -> ReceivedQuery {
        query(name, QType::A, Transport::Udp)
    }

    #[test]
    fn empty_script_changes_nothing() {
        assert_eq!(Script::default().decide(&udp("a.")), Verdict::default());
    }

    #[test]
    fn matches_by_name_type_and_transport() {
        let mut script = Script::default();
        let rule = Rule::any().name("A.b").qtype(QType::SRV);
        script.add(rule.over(Transport::Tcp).drop());
        for (name, qtype, transport, action) in [
            ("a.b.", QType::SRV, Transport::Tcp, Action::Drop),
            ("b.", QType::SRV, Transport::Tcp, Action::Answer),
            ("a.b.", QType::A, Transport::Tcp, Action::Answer),
            ("a.b.", QType::SRV, Transport::Udp, Action::Answer),
        ] {
            assert_eq!(script.decide(&query(name, qtype, transport)).action, action);
        }
    }

    #[test]
    fn rules_apply_one_after_another_as_they_are_used_up() {
        let mut script = Script::default();
        script.add(Rule::any().after(1).times(2).drop());
        script.add(Rule::any().times(2).servfail());
        script.add(Rule::any().refuse());
        let seen: Vec<Action> = (0..5).map(|_| script.decide(&udp("a.")).action).collect();
        let (drop, fail) = (Action::Drop, Action::ServFail);
        assert_eq!(seen, [fail.clone(), drop.clone(), drop, fail, Action::Refuse]);
    }

    #[test]
    fn truncation_applies_to_udp_only() {
        let mut script = Script::default();
        script.add(Rule::any().truncate());
        let over_tcp = query("a.", QType::A, Transport::Tcp);
        assert_eq!(script.decide(&over_tcp).action, Action::Answer);
        assert_eq!(script.decide(&udp("a.")).action, Action::Truncate(0));
    }

    #[test]
    fn delay_and_ttl_combine_with_any_action() {
        let mut script = Script::default();
        let id = script.add(Rule::any().delay(Duration::from_secs(1)).ttl(7).nodata());
        let verdict = script.decide(&udp("a."));
        assert_eq!(verdict.delay, Duration::from_secs(1));
        assert_eq!((verdict.ttl, verdict.action), (Some(7), Action::NoData));
        assert!(script.remove(id));
        assert!(!script.remove(id));
    }
}
