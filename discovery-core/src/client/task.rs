//! The background task of one target: queries, decides, publishes, sleeps.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
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
    source::Update,
};

/// Keeps one target up to date until it is aborted, or until its runtime shuts down. Dropping the claim then lets a
/// handle that is used on another runtime start a new task.
pub(super) async fn run(claim: TaskClaim, context: Arc<ContextCell>) {
    let mut task = Task { state: claim.state().clone(), context, open: None };
    loop {
        // The first query is due at once; a task that takes over from another one keeps its schedule.
        task.sleep().await;
        task.round().await;
    }
}

struct Task {
    state: Arc<TargetState>,
    context: Arc<ContextCell>,
    open: Option<OpenChain>,
}

/// A chain, and the context whose sources it queries.
struct OpenChain {
    context: Arc<SourceContext>,
    chain: Chain,
}

impl Task {
    async fn round(&mut self) {
        let state = self.state.clone();
        state.refresh().on_query(clock::now());
        let round = match self.open() {
            Ok(open) => query(&state, &mut open.chain).await,
            Err(error) => RoundResult::failed(error),
        };
        let (view, current) = {
            let mut refresh = state.refresh();
            let view = refresh.on_update(round.update(), clock::now(), &mut entropy::unit);
            (view, refresh.view().clone())
        };
        let error = round.error().cloned();
        // The explanation first: a reader that sees the new set can ask why.
        let context = self.open.as_ref().map(|open| open.context.evidence()).unwrap_or_default();
        state.explain(round.explain(&state.explanation(), context, &current));
        if let Some(view) = view {
            trace(&state, &view);
            state.publish(view, error);
        }
    }

    /// The open chain. Opens it again when the context has changed.
    fn open(&mut self) -> Result<&mut OpenChain, Error> {
        let context = self.context.current(clock::now())?;
        let plan = Plan::new(self.state.target(), context.scope());
        let open = match self.open.take() {
            Some(open) if Arc::ptr_eq(&open.context, &context) && *open.chain.plan() == plan => open,
            replaced => {
                let chain = Chain::open(plan, context.sources(), replaced.as_ref().map(|open| &open.chain));
                OpenChain { context, chain }
            }
        };
        Ok(self.open.insert(open))
    }

    /// Sleeps until the next query is due; a change in a source and what requests report may bring it forward.
    async fn sleep(&mut self) {
        let state = self.state.clone();
        // Only once: a source may keep reporting the same change until it is queried.
        let mut changed = false;
        loop {
            let next_query_at = state.refresh().next_query_at();
            if next_query_at.is_none() && self.open.is_none() {
                // The lookup that would have reported a change ended with another runtime.
                return;
            }
            tokio::select! {
                () = until(next_query_at) => return,
                () = state.reported() => {
                    let unreachable = handle_reports(&state);
                    if let Some(open) = &mut self.open {
                        open.chain.on_unreachable(&unreachable);
                    }
                }
                () = source_change(self.open.as_mut()), if !changed => {
                    changed = true;
                    state.refresh().on_change(clock::now());
                }
            }
        }
    }
}

/// One round of queries. Handles early answers, and what requests report meanwhile, at once.
async fn query(state: &TargetState, chain: &mut Chain) -> RoundResult {
    let (sender, mut early_updates) = mpsc::unbounded_channel();
    let mut early = move |update: Update| {
        let _ = sender.send(update);
    };
    let trust = {
        let refresh = state.refresh();
        match (refresh.view().set.is_empty(), refresh.accepts_negative()) {
            (true, _) => IncumbentTrust::None,
            (false, false) => IncumbentTrust::Full,
            (false, true) => IncumbentTrust::UnlessNegative,
        }
    };
    let mut unreachable = Vec::new();
    let result = {
        let mut round = std::pin::pin!(chain.query(trust, &mut early));
        loop {
            tokio::select! {
                biased;
                Some(update) = early_updates.recv() => publish_early(state, &update),
                result = &mut round => break result,
                () = state.reported() => unreachable.extend(handle_reports(state)),
            }
        }
    };
    chain.on_unreachable(&unreachable);
    result
}

fn publish_early(state: &TargetState, update: &Update) {
    let view = state.refresh().on_early(update, clock::now());
    if let Some(view) = view {
        trace(state, &view);
        let mut explanation = state.explanation().amended(&view, "waiting for the rest of the answer");
        explanation.name_kind = update.name_kind;
        state.explain(explanation);
        state.publish(view, None);
    }
}

/// Handles what requests have reported. Returns the endpoints in use that they could not connect to.
fn handle_reports(state: &TargetState) -> Vec<Endpoint> {
    let now = clock::now();
    let mut unreachable = Vec::new();
    for identity in state.take_unreachable() {
        let view = {
            let mut refresh = state.refresh();
            unreachable.extend(refresh.view().set.get_by_identity(&identity).cloned());
            refresh.on_unreachable(&identity, now)
        };
        if let Some(view) = view {
            tracing::debug!(target = %state.target(), endpoint = %identity, "left out an unreachable endpoint");
            let remark = format!("without {identity}, which is unreachable");
            state.explain(state.explanation().amended(&view, &remark));
            state.publish(view, None);
        }
    }
    state.apply_requests(now);
    unreachable
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
        freshness => tracing::debug!(%target, endpoints, version, ?freshness, "published endpoints"),
    }
}
