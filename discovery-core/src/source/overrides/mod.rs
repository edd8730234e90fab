//! The source `overrides`: where a developer or a test sends the requests for a name.
//!
//! ```text
//! DISCOVERY_OVERRIDES="orders.shop=127.0.0.1:8080, rates:grpc=127.0.0.1:9001,127.0.0.1:9002"
//! ```
//!
//! It comes before the variables of Services. They name one Service of the pod's own namespace; an override names any
//! Service or host, one of its ports if need be, and several addresses. `DISCOVERY_OVERRIDES_FILE` names a file of
//! overrides, a line each, that is read again when it changes.

mod entries;
mod file;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, num::NonZeroU16, sync::Arc};

pub(crate) use self::entries::Overrides;
pub(crate) use self::file::OverridesFile;
use self::{
    entries::{Override, Places},
    file::CHECK_INTERVAL,
};
use super::{BoxFuture, Evidence, Lookup, Source, State, Update, stand_in};
use crate::{
    Error, clock,
    endpoint::Endpoint,
    name::{Host, Target},
    plan::{NameKind, Plan, Scope},
};

/// The overrides of the variable and of the file, which may be absent.
#[derive(Clone, Debug)]
pub(crate) struct OverridesSource {
    variable: Arc<Overrides>,
    file: Option<Arc<OverridesFile>>,
    scope: Scope,
    /// Where the names on the right side are looked up.
    names: Arc<dyn Source>,
}

impl OverridesSource {
    pub(crate) fn new(
        variable: Arc<Overrides>,
        file: Option<Arc<OverridesFile>>,
        scope: Scope,
        names: Arc<dyn Source>,
    ) -> Self {
        Self { variable, file, scope, names }
    }

    /// Returns the override of the target of `plan`, with the setting that it stands in. The variable comes first.
    fn find(&self, plan: &Plan) -> (Option<(Override, String)>, u64) {
        let (in_file, version) = match &self.file {
            Some(file) => file.current(clock::now()),
            None => (Arc::default(), 0),
        };
        if let Some(found) = self.variable.find(plan, &self.scope) {
            return (Some((found.clone(), "DISCOVERY_OVERRIDES".to_owned())), version);
        }
        let place = || self.file.as_ref().map(|file| file.describe()).unwrap_or_default();
        (in_file.find(plan, &self.scope).map(|found| (found.clone(), place())), version)
    }
}

impl Source for OverridesSource {
    fn name(&self) -> &'static str {
        "overrides"
    }

    /// The requests must not go to the real Service because the developer's own server cannot be found.
    fn failure_is_final(&self) -> bool {
        true
    }

    fn empty_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(OverrideLookup { source: self.clone(), plan: plan.clone(), version: 0, named: None })
    }
}

#[derive(Debug)]
struct OverrideLookup {
    source: OverridesSource,
    plan: Plan,
    /// The version of the file at the last answer.
    version: u64,
    /// The lookup of the name on the right side.
    named: Option<(Target, Box<dyn Lookup>)>,
}

impl OverrideLookup {
    async fn answer(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let (found, version) = self.source.find(&self.plan);
        self.version = version;
        let Some((entry, setting)) = found else {
            self.named = None;
            let evidence =
                self.source.file.as_ref().map(|file| Evidence::new(file.describe(), "does not name the target"));
            return Update::new(State::NotApplicable).with_evidence(evidence);
        };
        let evidence = Evidence::new(setting, entry.to_string());
        match entry.places() {
            Places::Fixed(places) => {
                self.named = None;
                let endpoints: Result<Vec<_>, _> = places.iter().map(|place| self.endpoint(place, &entry)).collect();
                let state = endpoints.map_or_else(State::Failed, State::Ready);
                Update::new(state).with_authority().with_name_kind(NameKind::Service).with_evidence([evidence])
            }
            Places::Name(place) => match self.with_port(place, &entry) {
                Ok(target) => {
                    let setting = format!("the override is `{entry}`");
                    let update = self.lookup(target).ask(&mut |update| early(stand_in(update, &setting))).await;
                    let mut update = stand_in(update, &setting);
                    update.evidence.insert(0, evidence);
                    update
                }
                Err(error) => Update::new(State::Failed(error)).with_evidence([evidence]),
            },
        }
    }

    /// The lookup of `target`, which keeps what it remembers from one answer to the next.
    fn lookup(&mut self, target: Target) -> &mut dyn Lookup {
        let named = self.named.take().filter(|(before, _)| *before == target);
        let open = |target: Target| {
            let lookup = self.source.names.open(&Plan::new(&target, &self.source.scope));
            (target, lookup)
        };
        let (_, lookup) = self.named.insert(named.unwrap_or_else(|| open(target)));
        &mut **lookup
    }

    /// The port of a place, or else that of the request.
    fn port(&self, place: &Target, entry: &Override) -> Result<NonZeroU16, Error> {
        place.port().number().or_else(|| self.plan.target.port().number()).ok_or_else(|| {
            let target = &self.plan.target;
            let text =
                format!("the override `{entry}` has no port, and neither has `{target}`; write `{place}:<port>`");
            Error::config(text)
        })
    }

    fn endpoint(&self, place: &Target, entry: &Override) -> Result<Endpoint, Error> {
        let port = self.port(place, entry)?.get();
        Ok(match place.host() {
            Host::Ip(ip) => Endpoint::new(SocketAddr::new(*ip, port)),
            _ => Endpoint::localhost(port),
        })
    }

    fn with_port(&self, place: &Target, entry: &Override) -> Result<Target, Error> {
        Ok(Target::new(&format!("{}:{}", place.host(), self.port(place, entry)?))?)
    }
}

impl Lookup for OverrideLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer(early))
    }

    /// Looks at the file once a second, if there is one.
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        let named = self.named.as_mut().map(|(_, lookup)| lookup.changed());
        let (file, version) = (self.source.file.clone(), self.version);
        let file_changed = async move {
            let Some(file) = file else { return std::future::pending().await };
            while file.current(clock::now()).1 == version {
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        };
        Box::pin(async move {
            match named {
                Some(named) => tokio::select! { () = named => {}, () = file_changed => {} },
                None => file_changed.await,
            }
        })
    }

    fn on_unreachable(&mut self, endpoint: &Endpoint) {
        if let Some((_, lookup)) = &mut self.named {
            lookup.on_unreachable(endpoint);
        }
    }
}
