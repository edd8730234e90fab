//! Rules that change or suppress answers. Pure: a rule counts the queries that it is shown.

#[cfg(test)]
mod tests;

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
    /// Octets that get the id of the query.
    RawWithId(Vec<u8>),
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
    ///
    /// # Panics
    ///
    /// If the bytes are longer than a DNS message can be: 65,535 octets.
    #[track_caller]
    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.action(Action::Raw(message(bytes.into(), 0)))
    }

    /// Sends these bytes with the id of the query in their first two octets; over TCP after the length prefix.
    ///
    /// A client ignores a message with another id, and waits. With the right id the message reaches its parser.
    ///
    /// ```
    /// use discovery_testing::Rule;
    ///
    /// // A header that counts one answer, and ends there (RFC 1035 section 4.1.1).
    /// let cut_off = Rule::any().raw_with_id([0, 0, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0]);
    /// # let _ = cut_off;
    /// ```
    ///
    /// # Panics
    ///
    /// If the bytes are shorter than an id, or longer than a DNS message can be: 2 to 65,535 octets.
    #[track_caller]
    pub fn raw_with_id(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.action(Action::RawWithId(message(bytes.into(), ID)))
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

/// Octets of the id of a message (RFC 1035 section 4.1.1).
const ID: usize = 2;
/// The longest message: TCP has two octets for its length (RFC 1035 section 4.2.2).
const MAX_MESSAGE: usize = u16::MAX as usize;

/// Panics if no message can be that long.
#[track_caller]
fn message(bytes: Vec<u8>, shortest: usize) -> Vec<u8> {
    let length = bytes.len();
    assert!(
        (shortest..=MAX_MESSAGE).contains(&length),
        "a raw answer of {length} octets cannot be sent: it must have {shortest} to {MAX_MESSAGE}"
    );
    bytes
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
