//! The background task of one target: asks, decides, publishes, sleeps.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
    chain::{Chain, Round, Trust},
    context_cell::{ContextCell, Generation},
    explain::Explanation,
    shared::Shared,
};
use crate::{
    Error, clock, entropy,
    plan::{NameKind, Plan},
    refresh::{Freshness, View},
    source::{State, Update},
};

/// Works for one target until it is aborted. On another end, by a runtime's shutdown, it gives the claim
/// back, so that a handle used on another runtime can start a new one.
pub(super) async fn run(claim: Claim, context: Arc<ContextCell>) {
    let mut task = Task { shared: claim.0.clone(), context, opened: None };
    loop {
        // The first time there is nothing to wait for; a task that takes over from another one keeps its pace.
        task.sleep().await;
        task.round().await;
    }
}

/// The right to work for a target; there is one at a time. It is given back when it is dropped, also when the
/// task never runs because its runtime is shutting down.
pub(super) struct Claim(Arc<Shared>);

impl Claim {
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Self> {
        shared.claim().then(|| Self(shared.clone()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Task {
    shared: Arc<Shared>,
    context: Arc<ContextCell>,
    opened: Option<Opened>,
}

struct Opened {
    generation: Arc<Generation>,
    plan: Plan,
    chain: Chain,
}

impl Task {
    async fn round(&mut self) {
        let shared = self.shared.clone();
        shared.refresh().on_query(clock::now());
        let round = match self.opened() {
            Ok(opened) => ask(&shared, &mut opened.chain).await,
            Err(error) => failed(error),
        };
        let (view, current) = {
            let mut refresh = shared.refresh();
            let view = refresh.on_update(&round.update, clock::now(), &mut entropy::unit);
            (view, refresh.view().clone())
        };
        let error = round.error.clone();
        // First why, then what: whoever sees the new set can ask for its explanation.
        self.explain(round, &current);
        if let Some(view) = view {
            trace(&shared, &view);
            shared.publish(view, error);
        }
    }

    /// Opens the conversations, anew when the context has changed since.
    fn opened(&mut self) -> Result<&mut Opened, Error> {
        let generation = self.context.current(clock::now())?;
        let plan = Plan::new(&self.shared.target, generation.scope());
        let opened = match self.opened.take() {
            Some(opened) if Arc::ptr_eq(&opened.generation, &generation) && opened.plan == plan => opened,
            before => {
                let incumbent = before.map(|before| before.chain.incumbent()).unwrap_or_default();
                let chain = Chain::open(plan.clone(), generation.sources(), incumbent);
                Opened { generation, plan, chain }
            }
        };
        Ok(self.opened.insert(opened))
    }

    async fn sleep(&mut self) {
        let shared = self.shared.clone();
        // Once: a source may go on saying that it has news until it is asked.
        let mut heard = false;
        loop {
            let next_query_at = shared.refresh().next_query_at();
            if next_query_at.is_none() && self.opened.is_none() {
                // The conversation that would have told of a change has ended with another runtime.
                return;
            }
            tokio::select! {
                () = until(next_query_at) => return,
                () = shared.reports().arrived.notified() => heed(&shared),
                () = news(self.opened.as_mut()), if !heard => {
                    heard = true;
                    shared.refresh().on_change(clock::now());
                }
            }
        }
    }

    fn explain(&self, round: Round, view: &View) {
        let context = match &self.opened {
            Some(opened) => opened.generation.evidence(),
            None => Vec::new(),
        };
        self.shared.explain(Explanation {
            target: self.shared.target.clone(),
            context,
            steps: round.steps,
            winner: round.winner,
            // What is known of a name stays known while nobody answers.
            name_kind: round.update.name_kind.or(self.shared.explanation().name_kind),
            standing: standing(&view.standing),
            endpoints: view.set.clone(),
        });
    }
}

/// One round of questions; what comes early, and what requests report meanwhile, is heeded at once.
async fn ask(shared: &Shared, chain: &mut Chain) -> Round {
    let (send, mut early) = mpsc::unbounded_channel();
    let mut tell = move |update: Update| {
        let _ = send.send(update);
    };
    let trust = {
        let refresh = shared.refresh();
        match (refresh.view().set.is_empty(), refresh.accepts_negative()) {
            (true, _) => Trust::None,
            (false, false) => Trust::Full,
            (false, true) => Trust::NoMore,
        }
    };
    let mut round = std::pin::pin!(chain.ask(trust, &mut tell));
    loop {
        tokio::select! {
            biased;
            Some(update) = early.recv() => {
                let view = shared.refresh().on_early(&update, clock::now());
                if let Some(view) = view {
                    trace(shared, &view);
                    shared.explain(early_explanation(shared, &view, update.name_kind));
                    shared.publish(view, None);
                }
            }
            round = &mut round => return round,
            () = shared.reports().arrived.notified() => heed(shared),
        }
    }
}

fn standing(standing: &Freshness) -> String {
    match standing {
        Freshness::Fresh => "fresh".to_owned(),
        Freshness::Stale { error, .. } => format!("stale: {error}"),
        Freshness::Empty => "without endpoints".to_owned(),
        Freshness::NotFound => "not found".to_owned(),
        Freshness::Failed(error) => format!("failed: {error}"),
        _ => "not answered yet".to_owned(),
    }
}

/// What there is to say before the round is over.
fn early_explanation(shared: &Shared, view: &View, name_kind: Option<NameKind>) -> Explanation {
    let standing = format!("{}; the rest of the answer is on its way", standing(&view.standing));
    Explanation { name_kind, standing, endpoints: view.set.clone(), ..(*shared.explanation()).clone() }
}

/// Takes what requests have reported.
fn heed(shared: &Shared) {
    let now = clock::now();
    for identity in shared.reports().take_unreachable() {
        let view = shared.refresh().on_unreachable(&identity, now);
        if let Some(view) = view {
            tracing::debug!(target = %shared.target, endpoint = %identity, "unreachable, left out");
            let standing = format!("{}; without {identity}, which cannot be reached", standing(&view.standing));
            shared.explain(Explanation { standing, endpoints: view.set.clone(), ..(*shared.explanation()).clone() });
            shared.publish(view, None);
        }
    }
    if shared.reports().take_wanted() {
        shared.refresh().on_request(now);
    }
    shared.refresh().on_waiting(shared.somebody_waits(), now);
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn news(opened: Option<&mut Opened>) {
    match opened {
        Some(opened) => opened.chain.changed().await,
        None => std::future::pending().await,
    }
}

fn failed(error: Error) -> Round {
    let update = Update::new(State::Failed(error.clone()));
    Round { update, steps: Vec::new(), winner: None, error: Some(error) }
}

/// Tells of what has changed; of one failure after the other only the first is worth a warning.
fn trace(shared: &Shared, view: &View) {
    let (target, endpoints, version) = (&shared.target, view.set.len(), view.set.version());
    let failed_before = shared.load().standing.error().is_some();
    match &view.standing {
        Freshness::Stale { error, .. } if !failed_before => {
            tracing::warn!(%target, endpoints, %error, "the sources cannot be asked, the last known endpoints stay");
        }
        Freshness::Failed(error) if !failed_before => tracing::warn!(%target, %error, "no endpoints are known"),
        standing => tracing::debug!(%target, endpoints, version, ?standing, "published"),
    }
}
