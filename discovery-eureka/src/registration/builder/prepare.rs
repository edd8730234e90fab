//! Checks, the address, and the record.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{super::record::Record, RENEWAL, RegistrationBuilder};
use crate::{
    Error, Status,
    identity::{self, Environment, Variables, in_url},
    model::Urls,
    registry::Registry,
};

/// How long the registry's name may take to resolve where only the route to it tells the pod's address.
const NAME: Duration = Duration::from_secs(3);

impl RegistrationBuilder {
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |what: String| Err(Error::config(what));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.app.is_empty() || !self.app.chars().all(plain) {
            return refuse(format!("application `{}`: a name has letters, digits, `-`, `_` and `.`", self.app));
        }
        if self.port.is_none() && self.secure_port.is_none() {
            return refuse("no port: give that of the listener with `port` or `secure_port`".to_owned());
        }
        if self.port == Some(0) || self.secure_port == Some(0) {
            return refuse("port 0 is not in 1..=65535: give the one that the bound listener has".to_owned());
        }
        if self.renewal.is_zero() || self.lease <= self.renewal {
            return refuse(format!(
                "a lease of {:?} renewed every {:?}: give an interval above 0 and a lease longer than that",
                self.lease, self.renewal
            ));
        }
        if self.status == Status::Unknown {
            return refuse("UNKNOWN is no status to register with: a registry refuses its heartbeats".to_owned());
        }
        if self.renewal != RENEWAL {
            tracing::warn!(renewal = ?self.renewal, "a server's self-preservation counts on one heartbeat in 30 s");
        }
        Ok(())
    }

    pub(super) async fn find_ip(&self, registry: &Registry, environment: &Environment) -> Result<IpAddr, Error> {
        if let Some(ip) = identity::told(self.address, &environment.variables)? {
            return Ok(ip);
        }
        let mut addrs = Vec::new();
        for url in registry.urls() {
            let Ok(upstream) = self.client.resolver().upstream(url.origin()) else { continue };
            // A name that does not resolve in time says nothing; others may.
            let _ = tokio::time::timeout(NAME, upstream.first_answer()).await;
            let port = url.origin().port_or_known_default().unwrap_or(80);
            addrs.extend(upstream.endpoints().iter().flat_map(|e| e.addrs().collect::<Vec<_>>()).map(|mut addr| {
                if addr.port() == 0 {
                    addr.set_port(port);
                }
                addr
            }));
        }
        identity::find(self.address, environment, &addrs, identity::route)
    }

    pub(super) fn record(&self, ip: IpAddr, variables: &Variables) -> Result<Record, Error> {
        let host_name = self.host_name.clone().unwrap_or_else(|| in_url(ip));
        let lower = self.app.to_lowercase();
        let port = self.port.or(self.secure_port).unwrap_or_default();
        let ip_text = ip.to_string();
        let id = self.instance_id.clone().unwrap_or_else(|| {
            let name = variables.pod_name().unwrap_or(&ip_text);
            format!("{name}:{lower}:{port}:{}", variables.get("POD_UID").unwrap_or(&ip_text))
        });
        check_id(&id)?;
        let url = |scheme: &str, port: Option<u16>, path: &str| {
            let path = path.trim_start_matches('/');
            port.map(|port| format!("{scheme}://{host_name}:{port}/{path}"))
        };
        let page = |path: &str| url("http", self.port, path).or_else(|| url("https", self.secure_port, path));
        let urls = Urls {
            home_page_url: page(&self.home_page),
            status_page_url: self.status_page.as_deref().and_then(page),
            health_check_url: self.health_check.as_deref().and_then(|path| url("http", self.port, path)),
            secure_health_check_url: self.health_check.as_deref().and_then(|path| url("https", self.secure_port, path)),
        };
        let told = variables.metadata().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut metadata: BTreeMap<_, _> = told.collect();
        metadata.extend(self.metadata.clone());
        let vip = self.vip.clone().unwrap_or(lower);
        Ok(Record {
            id,
            app: self.app.to_uppercase(),
            secure_vip: self.secure_vip.clone().unwrap_or_else(|| vip.clone()),
            vip,
            host_name,
            ip,
            port: self.port,
            secure_port: self.secure_port,
            urls,
            renewal: self.renewal,
            lease: self.lease,
            metadata,
        })
    }
}

/// What a server can address as one part of a path.
fn check_id(id: &str) -> Result<(), Error> {
    let bad = id.chars().find(|c| "/\\;".contains(*c) || c.is_whitespace() || c.is_control());
    match bad {
        Some(bad) => Err(Error::config(format!(
            "instance id `{id}`: {bad:?} cannot be addressed in a registry (Netflix #796); use letters, digits, `:`, `-`, `.`"
        ))),
        None if id.is_empty() || id == "." || id == ".." => {
            Err(Error::config(format!("instance id `{id}`: it is no name; use letters, digits, `:`, `-`, `.`")))
        }
        None => Ok(()),
    }
}
