//! The one place that refuses addresses: every answer of every source passes it.

use crate::{
    Error,
    endpoint::Endpoint,
    error::Kind,
    source::{Evidence, State, Update},
};

/// How many refused addresses an explanation lists.
const LISTED: usize = 4;

/// Refuses the addresses that the endpoints of an answer may not have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressFilter {
    deny_private: bool,
}

impl AddressFilter {
    /// `deny_private` is the setting.
    pub(super) fn new(deny_private: bool) -> Self {
        Self { deny_private }
    }

    /// Takes the refused addresses out of the answer of `source`, and says so in its evidence. An answer of nothing
    /// else has failed: it is not a negative answer, and the endpoints that are known stay in use.
    pub(super) fn apply(self, source: &str, update: &mut Update) {
        let State::Ready(endpoints) = &mut update.state else { return };
        let scope = update.address_scope;
        let refusal = |ip| scope.refusal(ip, self.deny_private);
        if endpoints.iter().flat_map(Endpoint::addrs).all(|addr| refusal(addr.ip()).is_none()) {
            return;
        }
        let mut refused: Vec<String> = Vec::new();
        let all = endpoints.iter().flat_map(Endpoint::addrs).filter_map(|addr| Some((addr.ip(), refusal(addr.ip())?)));
        for (ip, special) in all {
            let text = format!("{ip} is {special}");
            if !refused.contains(&text) {
                refused.push(text);
            }
        }
        let more = refused.len().saturating_sub(LISTED);
        refused.truncate(LISTED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let rule = if scope.is_remote() && self.deny_private {
            "private addresses are denied for hosts and registries (`deny_private`)"
        } else {
            "no endpoint of this source may have such an address"
        };
        let text = format!("refused: {}{more}; {rule}", refused.join(", "));
        endpoints.retain_mut(|endpoint| match endpoint.with_addrs_that(|ip| refusal(ip).is_none()) {
            Some(kept) => {
                *endpoint = kept;
                true
            }
            None => false,
        });
        if endpoints.is_empty() {
            update.state = State::Failed(Error::new(Kind::Transient, format!("{source}: no usable address: {text}")));
        }
        tracing::debug!(%source, %text, "refused addresses");
        update.evidence.push(Evidence::new("addresses", text));
    }
}
