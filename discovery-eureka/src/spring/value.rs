//! One value as text, and the error if it is not what the property takes.

use std::{net::IpAddr, time::Duration};

use crate::{Error, Status};

/// The value of a variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Value<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text }
    }

    /// Returns the name of the variable, as it is spelled.
    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the text if it contains no placeholder, which Spring or Kubernetes would have replaced.
    pub(super) fn plain(&self) -> Result<&'a str, Error> {
        for (begin, end, rule, remedy) in [
            (
                "${",
                '}',
                "placeholders of Spring are not replaced",
                "write the value, or `$(NAME)` in the pod's manifest",
            ),
            (
                "$(",
                ')',
                "Kubernetes did not replace this reference",
                "define the variable that it names, above this one in the same container",
            ),
        ] {
            let rest = self.text.split_once(begin).map(|(_, rest)| rest);
            if let Some((name, _)) = rest.and_then(|rest| rest.split_once(end)) {
                return Err(Error::config(format!(
                    "invalid `{}`: it contains `{begin}{name}{end}`, and {rule}; {remedy}",
                    self.name
                )));
            }
        }
        Ok(self.text)
    }

    /// Reads a boolean as Spring does (`StringToBooleanConverter`).
    pub(super) fn boolean(&self) -> Result<bool, Error> {
        match self.plain()?.to_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => Err(self.invalid("it is not a boolean", "set it to `true` or `false`")),
        }
    }

    /// Reads whole seconds, 1 or more.
    pub(super) fn seconds(&self) -> Result<Duration, Error> {
        match self.plain()?.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
            _ => {
                Err(self
                    .invalid("it is not a number of seconds above 0", "set a whole number without a unit, such as 30"))
            }
        }
    }

    pub(super) fn port(&self) -> Result<u16, Error> {
        match self.plain()?.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(self.invalid(
                "it is not a port",
                "set a whole number from 1 to 65535, the port that the application listens on",
            )),
        }
    }

    pub(super) fn ip(&self) -> Result<IpAddr, Error> {
        let text = self.plain()?;
        let parsed = text.trim_start_matches('[').trim_end_matches(']').parse();
        parsed.map_err(|_| self.invalid("it is not an IP address", "set the address that other clients connect to"))
    }

    /// Reads a status, in any case.
    pub(super) fn status(&self) -> Result<Status, Error> {
        let text = self.plain()?.to_uppercase().replace('-', "_");
        match [Status::Up, Status::Starting, Status::Down, Status::OutOfService]
            .into_iter()
            .find(|s| s.as_str() == text)
        {
            Some(status) => Ok(status),
            None => {
                Err(self.invalid("it is not a status to register with", "set UP, STARTING, DOWN or OUT_OF_SERVICE"))
            }
        }
    }

    /// Reads an absolute URL of http or https.
    pub(super) fn url(&self) -> Result<String, Error> {
        let text = self.plain()?;
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && is_page(text) && text.contains("://") => {
                Ok(text.to_owned())
            }
            _ => Err(self.invalid(
                "it is not an http or https URL",
                "set a whole URL, or a path in the variable that ends in `_PATH`",
            )),
        }
    }

    /// Reads a path below the host of the instance.
    pub(super) fn path(&self) -> Result<String, Error> {
        let text = self.plain()?;
        let has_host = text.starts_with("//") || text.split('/').next().is_some_and(|first| first.contains(':'));
        if has_host || !is_page(text) {
            return Err(self.invalid(
                "it is not a path",
                "set a path such as `/actuator/health`, or use the variable without `_PATH`",
            ));
        }
        Ok(text.to_owned())
    }

    pub(super) fn invalid(&self, rule: &str, remedy: &str) -> Error {
        Error::config(format!("invalid `{}`: `{}`: {rule}; {remedy}", self.name, self.text))
    }

    /// Adds the name of the variable to an error that names the value, or hides it.
    pub(super) fn explain(&self, error: &Error) -> Error {
        Error::config(format!("`{}`: {error}", self.name))
    }
}

/// Returns whether the text is free of the characters that no page may contain.
fn is_page(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
