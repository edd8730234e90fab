//! The background task of one target: queries, decides, publishes, sleeps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    attention::Attention,
    chain::{Chain, IncumbentTrust, RoundResult},
    context_cell::{ContextCell, SourceContext},
    state::{TargetState, TaskClaim},
};
use crate::{
    Error, clock,
    endpoint::Endpoint,
    entropy,
    plan::Plan,
    refresh::{Freshness, View},
    source::{RoundUrgency, Update, Urgency},
};

/// How long the background task may leave a question unanswered before another runtime's task takes over. It answers
/// within microseconds while its runtime runs; a worker that is kept busy for longer than this costs a new task.
const SILENCE: Duration = Duration::from_secs(1);

/// Keeps one target up to date on one runtime until it is aborted, or until the runtime shuts down: with the claim as
/// its background task, without it as a standby. A standby ends when the background task of another runtime is driven
/// and no caller waits for changes; the next use starts another one.
pub(super) async fn run(
    state: Arc<TargetState>,
    mut claim: Option<TaskClaim>,
    context: Arc<ContextCell>,
    attention: Arc<Attention>,
) {
    loop {
        match claim.take() {
            Some(claim) => drive(claim, context.clone()).await,
            None => match stand_by(&state, &attention).await {
                Some(taken_over) => claim = Some(taken_over),
                None => return,
            },
        }
    }
}

/// Waits until this task must take over; `None` if it is not needed.
async fn stand_by(state: &Arc<TargetState>, attention: &Attention) -> Option<TaskClaim> {
    let mut changes = state.subscribe();
    loop {
        changes.mark_unchanged();
        if let Some(claim) = state.claim() {
            return Some(claim);
        }
        let Some(question) = state.ask() else { continue };
        let mut silence = std::pin::pin!(tokio::time::sleep(SILENCE));
        while state.is_running() {
            tokio::select! {
                () = &mut silence => match state.seize(&question) {
                    Some(claim) => {
                        tracing::debug!(target = %state.target(), "took over from a runtime that is not running");
                        return Some(claim);
                    }
                    None if !state.is_watched() && attention.expire() => return None,
                    None => break,
                },
                _ = changes.changed() => {}
            }
        }
    }
}

/// Keeps one target up to date until another task takes over. Dropping the claim lets another runtime's task do so.
async fn drive(claim: TaskClaim, context: Arc<ContextCell>) {
    if let Some(mut held) = claim.hold() {
        held.refresh().on_takeover(clock::now());
    }
    let mut task = Task { state: claim.state().clone(), context, open: None, claim };
    while task.sleep().await.is_some() && task.round().await.is_some() {}
}

struct Task {
    state: Arc<TargetState>,
    context: Arc<ContextCell>,
    open: Option<OpenChain>,
    /// The last field, and so dropped last.
    claim: TaskClaim,
}

/// A chain, and the context whose sources it queries.
struct OpenChain {
    context: Arc<SourceContext>,
    chain: Chain,
}

impl Task {
    /// Queries the sources once, and publishes the answer; `None` if another task has taken over.
    async fn round(&mut self) -> Option<()> {
        let urgency = {
            let mut held = self.claim.hold()?;
            let urgency = held.refresh().urgency();
            held.refresh().on_query(clock::now());
            urgency
        };
        let round = match self.open() {
            Ok((claim, open)) => query(claim, &mut open.chain, urgency).await?,
            Err(error) => RoundResult::failed(error),
        };
        let context = self.open.as_ref().map(|open| open.context.evidence()).unwrap_or_default();
        let mut held = self.claim.hold()?;
        held.apply_outcomes(clock::now());
        let view = held.refresh().on_update(round.update(), clock::now(), &mut entropy::unit);
        let error = round.error().cloned();
        // The explanation first: a reader that sees the new set can ask why.
        let explanation = round.explain(&self.state.explanation(), context, held.refresh().view());
        held.explain(explanation);
        if let Some(view) = view {
            trace(&self.state, &view);
            held.publish(view, error);
        }
        Some(())
    }

    /// The open chain. Opens it again when the context has changed.
    fn open(&mut self) -> Result<(&TaskClaim, &mut OpenChain), Error> {
        let context = self.context.current(clock::now())?;
        let plan = Plan::new(self.state.target(), context.scope());
        let open = match self.open.take() {
            Some(open) if Arc::ptr_eq(&open.context, &context) && *open.chain.plan() == plan => open,
            replaced => {
                let chain =
                    Chain::open(plan, context.sources(), context.filter(), replaced.as_ref().map(|open| &open.chain));
                OpenChain { context, chain }
            }
        };
        Ok((&self.claim, self.open.insert(open)))
    }

    /// Sleeps until the next query is due; a change in a source and what requests report may bring it forward. `None` if
    /// another task has taken over.
    async fn sleep(&mut self) -> Option<()> {
        // Only once: a source may keep reporting the same change until it is queried.
        let mut changed = false;
        loop {
            let next_query_at = self.claim.hold()?.refresh().next_query_at();
            tokio::select! {
                () = until(next_query_at) => return Some(()),
                () = self.state.reported() => {
                    let unreachable = handle_reports(&self.claim)?;
                    if let Some(open) = &mut self.open {
                        open.chain.on_unreachable(&unreachable);
                    }
                }
                () = source_change(self.open.as_mut()), if !changed => {
                    changed = true;
                    self.claim.hold()?.refresh().on_change(clock::now());
                }
            }
        }
    }
}

/// One round of queries. Handles early answers, and what requests report meanwhile, at once.
///
/// `None` if another task has taken over.
async fn query(claim: &TaskClaim, chain: &mut Chain, urgency: Urgency) -> Option<RoundResult> {
    let (sender, mut early_updates) = mpsc::unbounded_channel();
    let mut early = move |update: Update| {
        let _ = sender.send(update);
    };
    let trust = {
        let mut held = claim.hold()?;
        let refresh = held.refresh();
        match (refresh.view().set.is_empty(), refresh.accepts_negative()) {
            (true, _) => IncumbentTrust::None,
            (false, false) => IncumbentTrust::Full,
            (false, true) => IncumbentTrust::UnlessNegative,
        }
    };
    let urgency = RoundUrgency::new(urgency);
    let mut unreachable = Vec::new();
    let result = {
        let mut round = std::pin::pin!(urgency.scope(chain.query(trust, &mut early)));
        loop {
            tokio::select! {
                biased;
                Some(update) = early_updates.recv() => publish_early(claim, &update)?,
                result = &mut round => break result,
                () = claim.state().reported() => {
                    unreachable.extend(handle_reports(claim)?);
                    urgency.raise(claim.hold()?.refresh().urgency());
                }
            }
        }
    };
    chain.on_unreachable(&unreachable);
    Some(result)
}

fn publish_early(claim: &TaskClaim, update: &Update) -> Option<()> {
    let (state, mut held) = (claim.state(), claim.hold()?);
    if let Some(view) = held.refresh().on_early(update, clock::now()) {
        trace(state, &view);
        let mut explanation = state.explanation().amended(&view, "waiting for the rest of the answer");
        explanation.name_kind = update.name_kind;
        held.explain(explanation);
        held.publish(view, None);
    }
    Some(())
}

/// Handles what requests have reported. Returns the endpoints in use that they could not connect to; `None` if another
/// task has taken over.
fn handle_reports(claim: &TaskClaim) -> Option<Vec<Endpoint>> {
    let (state, mut held, now) = (claim.state(), claim.hold()?, clock::now());
    let mut unreachable = Vec::new();
    for identity in held.take_unreachable() {
        let view = {
            let refresh = held.refresh();
            unreachable.extend(refresh.view().set.get_by_identity(&identity).cloned());
            refresh.on_unreachable(&identity, now)
        };
        if let Some(view) = view {
            tracing::debug!(target = %state.target(), endpoint = %identity, "left out an unreachable endpoint");
            let remark = format!("without {identity}, which is unreachable");
            held.explain(state.explanation().amended(&view, &remark));
            held.publish(view, None);
        }
    }
    held.apply_requests(now);
    Some(unreachable)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn source_change(open: Option<&mut OpenChain>) {
    match open {
        Some(open) => open.chain.changed().await,
        None => std::future::pending().await,
    }
}

/// Logs a change. Of consecutive failures only the first is a warning.
fn trace(state: &TargetState, view: &View) {
    let (target, endpoints, version) = (state.target(), view.set.len(), view.set.version());
    let failed_before = state.load().is_failing();
    match &view.freshness {
        Freshness::Stale { error, .. } if !failed_before => {
            tracing::warn!(%target, endpoints, %error, "refresh failed; keeping the last known endpoints");
        }
        Freshness::Failed(error) if !failed_before => {
            tracing::warn!(%target, %error, "resolution failed; no endpoints are known");
        }
        Freshness::Retained { .. } if !state.load().is_retained() => {
            tracing::warn!(%target, endpoints, "the name has no endpoints; keeping those on which requests succeed");
        }
        freshness => tracing::debug!(%target, endpoints, version, ?freshness, "published endpoints"),
    }
}
