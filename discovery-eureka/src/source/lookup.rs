//! The conversation about one target.

use std::time::Duration;

use discovery_core::{
    Error,
    name::Target,
    source::{BoxFuture, Evidence, Lookup, State, Update},
};
use tokio::sync::watch;

use super::{endpoints::Question, feed::Reader};

/// How long the first question waits for the first answer of the registry; the sources after this one are asked then.
const PATIENCE: Duration = Duration::from_secs(2);

/// When to ask again for what is only the last that was heard.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct EurekaLookup {
    reader: Reader,
    changes: watch::Receiver<u64>,
    question: Question,
    written: Option<u16>,
    zone: Option<String>,
    /// Endpoints have been given, and what was heard since is that the registry cannot be fetched.
    told: bool,
}

impl EurekaLookup {
    pub(super) fn new(reader: Reader, target: &Target, question: Question, zone: Option<String>) -> Self {
        let changes = reader.feed_as_is().subscribe();
        let written = target.port().number().map(u16::from);
        Self { reader, changes, question, written, zone, told: false }
    }

    async fn answer(&mut self) -> Update {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let feed = self.reader.feed();
            self.changes.mark_unchanged();
            if !feed.memory().is_awaited() {
                return self.read();
            }
            if tokio::time::timeout_at(deadline, self.changes.changed()).await.is_err() {
                let asked = Evidence::new(&*self.question.name, "no answer yet");
                let error = Error::transient(format!("the registry has not answered within {PATIENCE:?}"));
                return Update::new(State::Failed(error)).with_evidence([asked]);
            }
        }
    }

    fn read(&mut self) -> Update {
        let memory = self.reader.feed_as_is().memory();
        let error = memory.error.clone();
        let (state, said) = match memory.applications() {
            Some(all) => self.question.answer(all, self.written, self.zone.as_deref()),
            None => (State::NotFound, "not fetched yet".to_owned()),
        };
        let kept = match memory.kept() {
            0 => String::new(),
            kept => format!("; {kept} instances of the registry are from before it lost its memory"),
        };
        drop(memory);
        let failing = if error.is_some() { "; the registry cannot be fetched now" } else { "" };
        let evidence = Evidence::new(&*self.question.name, format!("{said}{kept}{failing}"));
        let update = match (state, error) {
            (state @ State::Ready(_), None) => {
                self.told = true;
                Update::new(state)
            }
            // What was heard last is given once, to whoever asks for the first time; after that it is a failure to hear more,
            // which keeps what was given and says that it is old.
            (state @ State::Ready(_), Some(_)) if !self.told => {
                self.told = true;
                Update::new(state).with_ttl(AGAIN)
            }
            (_, Some(error)) => Update::new(State::Failed(error.into())),
            (state, None) => {
                self.told = false;
                Update::new(state)
            }
        };
        update.with_evidence([evidence])
    }
}

impl Lookup for EurekaLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Has nothing to say.
#[derive(Debug)]
pub(super) struct Silence;

impl Lookup for Silence {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(std::future::ready(Update::new(State::NotApplicable)))
    }
}
