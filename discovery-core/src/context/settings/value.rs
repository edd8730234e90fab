//! The value of one variable, and the kinds of things that it can mean.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use super::read::PREFIX;
use crate::{
    Error,
    context::{Families, nameserver::nameserver},
    name::NameError,
};

/// A variable that is set to something.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    /// The name behind the prefix.
    pub(super) name: &'static str,
    /// The text without the blanks around it; not empty.
    pub(super) text: &'a str,
}

impl Value<'_> {
    pub(super) fn refused(self, rule: impl fmt::Display, remedy: impl fmt::Display) -> Error {
        Error::config(format!("`{PREFIX}{}` is `{}`: {rule}; {remedy}", self.name, self.text.escape_debug()))
    }

    /// A name type.
    pub(super) fn parsed<T: FromStr<Err = NameError>>(self) -> Result<T, Error> {
        self.text.parse().map_err(|error: NameError| self.refused(error.rule(), error.remedy()))
    }

    pub(super) fn nameservers(self) -> Result<Vec<SocketAddr>, Error> {
        let mut servers = Vec::new();
        for text in self.text.split(',').map(str::trim) {
            let server = nameserver(text).map_err(|rule| {
                let rule = format!("`{}`: {rule}", text.escape_debug());
                self.refused(rule, "write for example `10.96.0.10,[fd00::a]:5353`")
            })?;
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        Ok(servers)
    }

    /// The inner `None` is `auto`.
    pub(super) fn families(self) -> Result<Option<Families>, Error> {
        match self.text.to_ascii_lowercase().as_str() {
            "auto" => Ok(None),
            "ipv4" => Ok(Some(Families::V4)),
            "ipv6" => Ok(Some(Families::V6)),
            "both" => Ok(Some(Families::Both)),
            _ => {
                Err(self.refused("it is none of the words that are understood", "use `auto`, `ipv4`, `ipv6` or `both`"))
            }
        }
    }

    /// One of two words.
    pub(super) fn either(self, yes: &str, no: &str) -> Result<bool, Error> {
        if self.text.eq_ignore_ascii_case(yes) {
            return Ok(true);
        }
        if self.text.eq_ignore_ascii_case(no) {
            return Ok(false);
        }
        Err(self.refused("it is none of the words that are understood", format!("use `{yes}` or `{no}`")))
    }

    pub(super) fn count(self, min: u32, max: u32) -> Result<u32, Error> {
        match whole::<u64>(self.text).map(u32::try_from) {
            Some(Ok(count)) if (min..=max).contains(&count) => Ok(count),
            Some(_) => Err(self.refused("it is out of range", format!("use {min} to {max}"))),
            None => Err(self.refused("it is not a whole number", format!("use {min} to {max}"))),
        }
    }

    /// A whole number and a unit, `ms`, `s`, `m` or `h`.
    pub(super) fn duration(self, min: Duration, max: Duration) -> Result<Duration, Error> {
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
            let rule = "a duration is a whole number and one of `ms`, `s`, `m`, `h`";
            return Err(self.refused(rule, "write for example `500ms` or `2s`"));
        };
        match number.checked_mul(millis).map(Duration::from_millis) {
            Some(duration) if (min..=max).contains(&duration) => Ok(duration),
            _ => Err(self.refused("it is out of range", format!("use {} to {}", shown(min), shown(max)))),
        }
    }
}

/// Decimal digits only, without a sign; a number too large for `T` is `None` as well.
fn whole<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A duration as a variable would write it.
fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        0 if duration.is_zero() => "0s".to_owned(),
        secs if secs >= 3600 && secs % 3600 == 0 => format!("{}h", secs / 3600),
        secs if secs >= 60 && secs % 60 == 0 => format!("{}m", secs / 60),
        _ => format!("{duration:?}"),
    }
}
