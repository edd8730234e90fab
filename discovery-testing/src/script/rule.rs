use std::{fmt, time::Duration};

use super::Verdict;
use crate::{
    name::normalize,
    question::{Asked, QType, Transport},
};

/// One instruction to the server: which questions, how many of them, and what happens to the answer.
///
/// All conditions must hold. Of several rules that match a question the oldest one that is not used up decides,
/// so rules added one after another with [`times`](Self::times) play one after another.
/// Without an action a rule answers as usual, which makes an exception for the rules after it.
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
    /// Matches still to let pass.
    skip: usize,
    /// Matches still to decide; None is without end.
    left: Option<usize>,
    verdict: Verdict,
}

type Predicate = Box<dyn Fn(&Asked) -> bool + Send>;

/// Which rule, for [`FakeDns::remove_rule`](crate::FakeDns::remove_rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(u64);

impl RuleId {
    pub(super) fn new(number: u64) -> Self {
        Self(number)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Action {
    #[default]
    Answer,
    Drop,
    Disconnect,
    /// TC, and this many records of the answer.
    Truncate(usize),
    ServFail,
    Refuse,
    NxDomain,
    NoData,
    Garbage,
    Raw(Vec<u8>),
}

/// Conditions.
impl Rule {
    /// Matches every question.
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

    /// Matches the questions for which `predicate` holds; `dropped` is not known yet and false.
    pub fn when(predicate: impl Fn(&Asked) -> bool + Send + 'static) -> Self {
        Self { predicate: Some(Box::new(predicate)), ..Self::any() }
    }

    /// Only this name, without regard to case or to a trailing dot.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(normalize(name));
        self
    }

    /// Only this type.
    pub fn qtype(mut self, qtype: QType) -> Self {
        self.qtype = Some(qtype);
        self
    }

    /// Only questions that come in this way.
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Lets the first `n` matching questions pass.
    pub fn after(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// Decides `n` matching questions, and is used up then.
    pub fn times(mut self, n: usize) -> Self {
        self.left = Some(n);
        self
    }
}

/// Changes to the answer, which go with any action.
impl Rule {
    /// Holds the answer back. Other questions are answered meanwhile.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.verdict.delay = delay;
        self
    }

    /// Sets the TTL of every record of the answer, in seconds. The minimum in an SOA is set too.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.verdict.ttl = Some(seconds);
        self
    }
}

/// Actions: the last one named counts.
impl Rule {
    /// No answer at all, as if a packet was lost.
    pub fn drop(self) -> Self {
        self.action(Action::Drop)
    }

    /// No answer to the first `n` matching questions, all others as usual.
    pub fn answer_only_after(self, n: usize) -> Self {
        self.times(n).drop()
    }

    /// No answer, and a TCP connection is closed. Over UDP the same as [`drop`](Self::drop).
    pub fn disconnect(self) -> Self {
        self.action(Action::Disconnect)
    }

    /// An empty answer with the TC flag. UDP only: a question over TCP does not match.
    pub fn truncate(self) -> Self {
        self.truncate_to(0)
    }

    /// The TC flag and the first `records` records of the answer. UDP only: a question over TCP does not match.
    pub fn truncate_to(self, records: usize) -> Self {
        self.over(Transport::Udp).action(Action::Truncate(records))
    }

    /// SERVFAIL.
    pub fn servfail(self) -> Self {
        self.action(Action::ServFail)
    }

    /// REFUSED.
    pub fn refuse(self) -> Self {
        self.action(Action::Refuse)
    }

    /// NXDOMAIN with an SOA.
    pub fn nxdomain(self) -> Self {
        self.action(Action::NxDomain)
    }

    /// NOERROR without a record, with an SOA.
    pub fn nodata(self) -> Self {
        self.action(Action::NoData)
    }

    /// Bytes with the id of the question that are not a DNS message.
    pub fn garbage(self) -> Self {
        self.action(Action::Garbage)
    }

    /// Exactly these bytes (over TCP after the usual length).
    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.action(Action::Raw(bytes.into()))
    }

    fn action(mut self, action: Action) -> Self {
        self.verdict.action = action;
        self
    }

    /// Counts a question; the verdict if this rule decides it.
    pub(super) fn take(&mut self, asked: &Asked) -> Option<Verdict> {
        if self.left == Some(0) || !self.matches(asked) {
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

    fn matches(&self, asked: &Asked) -> bool {
        self.name.as_ref().is_none_or(|name| *name == asked.name)
            && self.qtype.is_none_or(|qtype| qtype == asked.qtype)
            && self.transport.is_none_or(|over| over == asked.transport)
            && self.predicate.as_ref().is_none_or(|holds| holds(asked))
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
