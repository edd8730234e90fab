//! The query for the cluster domain: sent when a lookup needs the domain, once for all lookups.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::AbortHandle};

use super::{DnsSource, answer::Answer, message::Rtype};
use crate::{Error, clock, name::ClusterDomain, source::Evidence};

/// The only cluster domain that is queried for. Others have to be set, or stand in the search list.
pub(super) const USUAL: &str = "cluster.local";

/// How long a negative answer for the cluster domain is used.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// How long the first failed query for the cluster domain is used. Each further failure doubles it, up to
/// [`RETRY_MAX`]. Both are the default backoff of a refresh.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// A DNS server that has just started is found to be that of a cluster within this time.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What DNS says about the cluster domain.
#[derive(Clone, Debug)]
pub(super) enum DomainAnswer {
    /// This is the DNS of a cluster with this domain.
    Known(ClusterDomain),
    /// This is not the DNS of a cluster, or its domain is another one.
    Denied,
    /// The query failed: DNS says nothing about the domain.
    Failed(Error),
}

/// The query for the cluster domain, shared by the lookups of one context.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    dns: DnsSource,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<ProbeState>);

#[derive(Debug, Default)]
struct ProbeState {
    memory: ProbeMemory,
    evidence: Option<Evidence>,
    running: Option<RunningProbe>,
}

/// A query in a task of its own, so that it ends although the lookup that began it has gone on without its answer.
#[derive(Debug)]
struct RunningProbe {
    /// Closed when the task ends, or is dropped together with its runtime.
    answer: watch::Receiver<Option<DomainAnswer>>,
    began: Instant,
    task: AbortHandle,
}

impl Probe {
    pub(super) fn new(dns: DnsSource) -> Self {
        Self { dns, shared: Arc::default() }
    }

    /// The last query and its answer, if one was sent.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        let state = self.shared.lock();
        let unanswered = |_: &RunningProbe| Evidence::new(format!("TXT dns-version.{USUAL}."), "not answered yet");
        state.evidence.clone().or_else(|| state.running.as_ref().map(unanswered))
    }

    /// Returns what DNS says about the cluster domain. Sends a query if no recent answer is known and none is in
    /// flight.
    pub(super) async fn answer(&self) -> DomainAnswer {
        // The first query may be that of another runtime, which shuts down.
        for _ in 0..2 {
            let mut running = {
                let mut state = self.shared.lock();
                if let Some(answer) = state.memory.answer(clock::now()) {
                    return answer.clone();
                }
                state.running.take_if(|running| running.has_ended());
                state.running.get_or_insert_with(|| self.start()).answer.clone()
            };
            if let Ok(answer) = running.wait_for(Option::is_some).await
                && let Some(answer) = answer.as_ref()
            {
                return answer.clone();
            }
        }
        DomainAnswer::Failed(Error::transient(format!(
            "query TXT dns-version.{USUAL}. was abandoned: the runtime that sent it shut down"
        )))
    }

    /// How much of `patience` is left for the query in flight; all of it if there is none. Lookups that come one after
    /// another do not each wait for the same query.
    pub(super) fn patience_left(&self, patience: Duration, now: Instant) -> Duration {
        let state = self.shared.lock();
        let waited = |running: &RunningProbe| now.saturating_duration_since(running.began);
        let waited = state.running.as_ref().filter(|running| !running.has_ended()).map(waited);
        patience.saturating_sub(waited.unwrap_or_default())
    }

    fn start(&self) -> RunningProbe {
        let (sender, answer) = watch::channel(None);
        let (dns, shared) = (self.dns.clone(), Arc::downgrade(&self.shared));
        let query = async move { sender.send_replace(Some(dns.query_cluster_domain(&shared).await)) };
        RunningProbe { answer, began: clock::now(), task: tokio::spawn(query).abort_handle() }
    }
}

impl DnsSource {
    /// Queries the schema's own TXT record (kubernetes/dns specification 1.1.0, section 2.2), which exists if this is
    /// the DNS of a Kubernetes cluster with the usual domain.
    async fn query_cluster_domain(&self, shared: &Weak<Shared>) -> DomainAnswer {
        let outcome = self.nameservers.query(&format!("dns-version.{USUAL}"), Rtype::Txt, false).await;
        let answer = match outcome.result {
            // A wildcard's text is not a version: this is not the DNS of a cluster.
            Ok(Answer::Found { value, .. }) if !value.has_version() => DomainAnswer::Denied,
            Ok(Answer::Found { .. }) => usual_domain().map_or(DomainAnswer::Denied, DomainAnswer::Known),
            Ok(Answer::NoData { .. } | Answer::NxDomain { .. }) => DomainAnswer::Denied,
            Err(error) => DomainAnswer::Failed(error),
        };
        if let Some(shared) = shared.upgrade() {
            let mut state = shared.lock();
            state.evidence = outcome.evidence.into_iter().next();
            state.memory.on_answer(answer.clone(), clock::now());
        }
        answer
    }
}

/// The usual cluster domain.
pub(super) fn usual_domain() -> Option<ClusterDomain> {
    ClusterDomain::new(USUAL).ok()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ProbeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningProbe {
    fn has_ended(&self) -> bool {
        self.answer.has_changed().is_err()
    }
}

impl Drop for RunningProbe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The last answer, and how long it is used.
#[derive(Debug, Default)]
struct ProbeMemory {
    last: Option<(DomainAnswer, Instant)>,
    /// The number of consecutive failures.
    failures: u32,
}

impl ProbeMemory {
    /// Returns the last answer if it is still used at `now`. A domain that is known stays known.
    fn answer(&self, now: Instant) -> Option<&DomainAnswer> {
        let (answer, at) = self.last.as_ref()?;
        let used_for = match answer {
            DomainAnswer::Known(_) => Duration::MAX,
            DomainAnswer::Denied => PROBE_AGAIN,
            DomainAnswer::Failed(_) => backoff(self.failures),
        };
        (now.saturating_duration_since(*at) < used_for).then_some(answer)
    }

    fn on_answer(&mut self, answer: DomainAnswer, now: Instant) {
        self.failures = match answer {
            DomainAnswer::Failed(_) => self.failures.saturating_add(1),
            DomainAnswer::Known(_) | DomainAnswer::Denied => 0,
        };
        self.last = Some((answer, now));
    }
}

/// How long the last of so many consecutive failures is used.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1);
    RETRY_MIN.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> DomainAnswer {
        DomainAnswer::Failed(Error::transient("SERVFAIL"))
    }

    #[test]
    fn a_failed_query_is_used_for_a_time_that_doubles_up_to_five_seconds() {
        let mut now = clock::now();
        let mut memory = ProbeMemory::default();
        for millis in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            assert!(memory.answer(now).is_none());
            memory.on_answer(failed(), now);
            let pause = Duration::from_millis(millis);
            assert!(memory.answer(now + pause - Duration::from_millis(1)).is_some(), "{millis} ms");
            now += pause;
        }
        assert!(memory.answer(now).is_none());
    }

    #[test]
    fn a_negative_answer_is_used_for_half_a_minute_and_a_known_domain_forever() {
        let now = clock::now();
        let mut memory = ProbeMemory::default();
        memory.on_answer(failed(), now);
        memory.on_answer(DomainAnswer::Denied, now);
        assert!(memory.answer(now + PROBE_AGAIN - Duration::from_millis(1)).is_some());
        assert!(memory.answer(now + PROBE_AGAIN).is_none());
        memory.on_answer(failed(), now);
        assert!(memory.answer(now + RETRY_MIN).is_none(), "an answer ends the run of failures");
        memory.on_answer(DomainAnswer::Known(ClusterDomain::new(USUAL).unwrap()), now);
        assert!(memory.answer(now + Duration::from_secs(1_000_000)).is_some());
    }
}
