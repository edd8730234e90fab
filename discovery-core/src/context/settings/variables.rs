//! The `DISCOVERY_*` variables.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr, time::Duration};

use serde::Deserialize;

use super::Settings;
use crate::{
    Error,
    context::{
        Families,
        nameserver::{Interfaces, nameserver},
    },
    name::NameError,
};

impl Settings {
    /// Reads the settings from the variables in `vars` that begin with `DISCOVERY_`.
    ///
    /// # Errors
    /// [`Error::is_config`] when a value is malformed or out of range, or when the shortest refresh is longer than the
    /// longest. The text names the variable, its value, the rule that it breaks, and a remedy.
    ///
    /// The zone of a link-local nameserver must be an index: this function knows no interfaces.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        Self::from_vars_of(vars, &|_| None)
    }

    /// As [`from_vars`](Self::from_vars), on a machine with these interfaces.
    pub(crate) fn from_vars_of(
        vars: impl IntoIterator<Item = (String, String)>,
        interfaces: Interfaces<'_>,
    ) -> Result<Self, Error> {
        let vars: BTreeMap<String, String> = vars.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let unknown = unknown(&vars);
        let texts = Texts::new(vars)?;
        let settings = Self {
            namespace: value("NAMESPACE", &texts.namespace).map(Value::parsed).transpose()?,
            cluster_domain: value("CLUSTER_DOMAIN", &texts.cluster_domain).map(Value::parsed).transpose()?,
            nameservers: value("NAMESERVERS", &texts.nameservers).map(|v| v.nameservers(interfaces)).transpose()?,
            families: value("IP_FAMILIES", &texts.ip_families).map(Value::families).transpose()?.flatten(),
            dns_tcp: value("DNS_TRANSPORT", &texts.dns_transport).map(|v| v.either("tcp", "udp")).transpose()?,
            dns_timeout: duration("DNS_TIMEOUT", &texts.dns_timeout, MILLISECOND * 10, SECOND * 30)?,
            dns_attempts: value("DNS_ATTEMPTS", &texts.dns_attempts).map(|v| v.count(1, 5)).transpose()?,
            dns_in_flight: value("DNS_IN_FLIGHT", &texts.dns_in_flight).map(|v| v.count(1, 1024)).transpose()?,
            overrides: value("OVERRIDES", &texts.overrides).map(|value| value.text.to_owned()),
            overrides_file: value("OVERRIDES_FILE", &texts.overrides_file).map(|value| value.text.into()),
            service_env: value("SERVICE_ENV", &texts.service_env).map(|v| v.either("on", "off")).transpose()?,
            cluster_only: value("CLUSTER_ONLY", &texts.cluster_only).map(|v| v.either("on", "off")).transpose()?,
            deny_private: value("DENY_PRIVATE", &texts.deny_private).map(|v| v.either("on", "off")).transpose()?,
            min_refresh: duration("MIN_REFRESH", &texts.min_refresh, MILLISECOND * 100, HOUR)?,
            max_refresh: duration("MAX_REFRESH", &texts.max_refresh, MILLISECOND * 100, HOUR * 24)?,
            max_stale: duration("MAX_STALE", &texts.max_stale, Duration::ZERO, HOUR * 24)?,
            removal_hold: duration("REMOVAL_HOLD", &texts.removal_hold, Duration::ZERO, SECOND * 60)?,
            retain_for: duration("RETAIN_FOR", &texts.retain_for, Duration::ZERO, HOUR * 24)?,
            unknown,
        };
        match (settings.min_refresh, settings.max_refresh, value("MAX_REFRESH", &texts.max_refresh)) {
            (Some(min), Some(max), Some(value)) if min > max => {
                let rule = format!("it is shorter than `{PREFIX}MIN_REFRESH`, which is {min:?}");
                Err(value.invalid(rule, "set it to at least that value"))
            }
            _ => Ok(settings),
        }
    }
}

/// The values as texts. [`Value`] parses them, because an error of `envy` would not name the variable as it is
/// written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Texts {
    namespace: Option<String>,
    cluster_domain: Option<String>,
    nameservers: Option<String>,
    ip_families: Option<String>,
    dns_transport: Option<String>,
    dns_timeout: Option<String>,
    dns_attempts: Option<String>,
    dns_in_flight: Option<String>,
    overrides: Option<String>,
    overrides_file: Option<String>,
    service_env: Option<String>,
    cluster_only: Option<String>,
    deny_private: Option<String>,
    min_refresh: Option<String>,
    max_refresh: Option<String>,
    max_stale: Option<String>,
    removal_hold: Option<String>,
    retain_for: Option<String>,
}

impl Texts {
    /// Passes only known names to `envy`, because it folds their case and strips a repeated prefix more than once.
    fn new(vars: BTreeMap<String, String>) -> Result<Self, Error> {
        envy::prefixed(PREFIX)
            .from_iter(vars.into_iter().filter(|(name, _)| known(name)))
            .map_err(|error| Error::config(format!("cannot read the variables `{PREFIX}*`: {error}")))
    }
}

fn value<'a>(name: &'static str, text: &'a Option<String>) -> Option<Value<'a>> {
    let text = text.as_deref()?.trim();
    (!text.is_empty()).then_some(Value { name, text })
}

fn duration(
    name: &'static str,
    text: &Option<String>,
    min: Duration,
    max: Duration,
) -> Result<Option<Duration>, Error> {
    value(name, text).map(|value| value.duration(min, max)).transpose()
}

fn known(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|name| KNOWN.contains(&name))
}

/// The unknown variables, without those that the kubelet sets for a Service whose name begins with `discovery`.
fn unknown(vars: &BTreeMap<String, String>) -> Vec<String> {
    let services: Vec<&str> = vars.keys().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
    let is_service_variable = |name: &str| {
        services.iter().any(|service| {
            let rest = name.strip_prefix(service).unwrap_or_default();
            matches!(rest, "_SERVICE_HOST" | "_SERVICE_PORT" | "_PORT")
                || rest.starts_with("_SERVICE_PORT_")
                || rest.starts_with("_PORT_")
        })
    };
    let is_unknown = |name: &str, text: &str| !known(name) && !text.trim().is_empty() && !is_service_variable(name);
    vars.iter().filter(|(name, text)| is_unknown(name, text)).map(|(name, _)| name.clone()).collect()
}

const PREFIX: &str = "DISCOVERY_";

/// The names after the prefix; `variables.md` documents them.
const KNOWN: &[&str] = &[
    "NAMESPACE",
    "CLUSTER_DOMAIN",
    "NAMESERVERS",
    "IP_FAMILIES",
    "DNS_TRANSPORT",
    "DNS_TIMEOUT",
    "DNS_ATTEMPTS",
    "DNS_IN_FLIGHT",
    "OVERRIDES",
    "OVERRIDES_FILE",
    "SERVICE_ENV",
    "CLUSTER_ONLY",
    "DENY_PRIVATE",
    "MIN_REFRESH",
    "MAX_REFRESH",
    "MAX_STALE",
    "REMOVAL_HOLD",
    "RETAIN_FOR",
];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A variable that is set and not empty.
#[derive(Clone, Copy)]
struct Value<'a> {
    /// The name after the prefix.
    name: &'static str,
    /// The text without the spaces around it; not empty.
    text: &'a str,
}

impl Value<'_> {
    fn invalid(self, rule: impl fmt::Display, remedy: impl fmt::Display) -> Error {
        Error::config(format!("`{PREFIX}{}` is `{}`: {rule}; {remedy}", self.name, self.text.escape_debug()))
    }

    /// Parses one of the name types.
    fn parsed<T: FromStr<Err = NameError>>(self) -> Result<T, Error> {
        self.text.parse().map_err(|error: NameError| self.invalid(error.rule(), error.remedy()))
    }

    fn nameservers(self, interfaces: Interfaces<'_>) -> Result<Vec<SocketAddr>, Error> {
        let mut servers = Vec::new();
        for text in self.text.split(',').map(str::trim) {
            let server = nameserver(text, interfaces).map_err(|rule| {
                let rule = format!("`{}`: {rule}", text.escape_debug());
                self.invalid(rule, "for example `10.96.0.10,[fd00::a]:5353`")
            })?;
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        Ok(servers)
    }

    /// The inner `None` is `auto`.
    fn families(self) -> Result<Option<Families>, Error> {
        match self.text.to_ascii_lowercase().as_str() {
            "auto" => Ok(None),
            "ipv4" => Ok(Some(Families::V4)),
            "ipv6" => Ok(Some(Families::V6)),
            "both" => Ok(Some(Families::Both)),
            _ => Err(self.invalid("not one of the accepted values", "use `auto`, `ipv4`, `ipv6` or `both`")),
        }
    }

    /// Parses one of two words.
    fn either(self, yes: &str, no: &str) -> Result<bool, Error> {
        if self.text.eq_ignore_ascii_case(yes) {
            return Ok(true);
        }
        if self.text.eq_ignore_ascii_case(no) {
            return Ok(false);
        }
        Err(self.invalid("not one of the accepted values", format!("use `{yes}` or `{no}`")))
    }

    fn count(self, min: u32, max: u32) -> Result<u32, Error> {
        match whole::<u64>(self.text).map(u32::try_from) {
            Some(Ok(count)) if (min..=max).contains(&count) => Ok(count),
            Some(_) => Err(self.invalid("out of range", format!("use {min} to {max}"))),
            None => Err(self.invalid("not a whole number", format!("use {min} to {max}"))),
        }
    }

    /// Parses a whole number and a unit, `ms`, `s`, `m` or `h`.
    fn duration(self, min: Duration, max: Duration) -> Result<Duration, Error> {
        let digits = self.text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = self.text.split_at(digits);
        let millis = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let Some((number, millis)) = whole::<u64>(number).zip(millis) else {
            let rule = "a duration must be a whole number and one of `ms`, `s`, `m`, `h`";
            return Err(self.invalid(rule, "for example `500ms` or `2s`"));
        };
        match number.checked_mul(millis).map(Duration::from_millis) {
            Some(duration) if (min..=max).contains(&duration) => Ok(duration),
            _ => Err(self.invalid("out of range", format!("use {} to {}", shown(min), shown(max)))),
        }
    }
}

/// Parses decimal digits without a sign; a number too large for `T` is `None` as well.
fn whole<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A duration in the syntax of a variable.
fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        0 if duration.is_zero() => "0s".to_owned(),
        secs if secs >= 3600 && secs % 3600 == 0 => format!("{}h", secs / 3600),
        secs if secs >= 60 && secs % 60 == 0 => format!("{}m", secs / 60),
        _ => format!("{duration:?}"),
    }
}
