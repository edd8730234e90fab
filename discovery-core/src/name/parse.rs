//! The grammar of a target.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};

use url::Url;

use super::{DomainName, Host, NameError, Port, PortName, Protocol, Scheme, Target, label::label};

const WHAT: &str = "target";

pub(super) fn target(input: &str) -> Result<Target, NameError> {
    if input.contains("://") {
        return match Url::parse(input) {
            Ok(parsed) => url(&parsed),
            Err(error) => Err(url_error(input, error)),
        };
    }
    if let Some(bad) = input.chars().find(|c| c.is_whitespace() || c.is_control() || "/?#@\\".contains(*c)) {
        let rule = format!("{bad:?} is not allowed in a host or a port");
        return Err(NameError::new(
            input,
            WHAT,
            rule,
            "write `host`, `host:port`, or a URL such as `http://host/path`",
        ));
    }
    let (host, port) = split_port(input)?;
    let port = port.map(|text| port_of(input, text)).transpose()?;
    assemble(input, None, host, port)
}

pub(super) fn url(url: &Url) -> Result<Target, NameError> {
    let shown = shown(url);
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(NameError::new(shown, WHAT, "the URL has no host", "write `scheme://host`"));
    };
    let port = match url.port() {
        None => None,
        Some(number) => Some(Port::Number(nonzero(&shown, number)?)),
    };
    assemble(&shown, Some(Scheme::from_parsed(url.scheme())), host, port)
}

/// The URL as errors show it: without credentials, path and query.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", url.scheme())
}

fn url_error(input: &str, error: url::ParseError) -> NameError {
    let (scheme, rest) = input.split_once("://").unwrap_or(("", input));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let remedy = match error {
        url::ParseError::InvalidPort => {
            "a URL's port is a number from 1 to 65535; name a port as `orders:http` or `http://_http._tcp.orders`"
        }
        url::ParseError::RelativeUrlWithoutBase => "start with a scheme: a letter, then letters, digits, `+`, `-`, `.`",
        _ => "write `scheme://host[:port]`",
    };
    NameError::new(format!("{scheme}://{host}"), WHAT, error.to_string(), remedy)
}

fn split_port(input: &str) -> Result<(&str, Option<&str>), NameError> {
    if input.parse::<Ipv6Addr>().is_ok() {
        return Ok((input, None));
    }
    if let Some(rest) = input.strip_prefix('[') {
        let Some((inner, tail)) = rest.split_once(']') else {
            return Err(NameError::new(input, WHAT, "`[` has no matching `]`", "write `[::1]:8080`"));
        };
        let host = input.get(..inner.len() + 2).unwrap_or(input);
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => Err(NameError::new(input, WHAT, "only `:` and a port may follow `]`", "write `[::1]:8080`")),
        };
    }
    match input.split_once(':') {
        None => Ok((input, None)),
        Some((_, port)) if port.contains(':') => {
            let remedy = "write an IPv6 address with a port as `[::1]:8080`";
            Err(NameError::new(input, WHAT, "it has more than one `:`, but is not an IPv6 address", remedy))
        }
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn port_of(input: &str, text: &str) -> Result<Port, NameError> {
    if text.is_empty() {
        return Err(NameError::new(input, WHAT, "the port is empty", "remove the `:` or write a port after it"));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let Ok(number) = text.parse() else {
            let rule = format!("port {text} is not in 1..=65535");
            return Err(NameError::new(input, WHAT, rule, "use a port in that range"));
        };
        return nonzero(input, number).map(Port::Number);
    }
    PortName::new(text).map(Port::Name).map_err(|error| error.within(input))
}

fn nonzero(input: &str, number: u16) -> Result<NonZeroU16, NameError> {
    NonZeroU16::new(number)
        .ok_or_else(|| NameError::new(input, WHAT, "port 0 is not in 1..=65535", "use a port in that range"))
}

fn assemble(input: &str, scheme: Option<Scheme>, host: &str, port: Option<Port>) -> Result<Target, NameError> {
    let (srv, host) = split_srv(input, host)?;
    let is_srv_name = srv.is_some();
    let (port, protocol) = match (port, srv) {
        (Some(_), Some(_)) => {
            let rule = "the port is given twice, by the SRV labels and after `:`";
            return Err(NameError::new(input, WHAT, rule, "remove one of the two"));
        }
        (None, Some((name, protocol))) => (Port::Name(name), protocol),
        (Some(port), None) => (port, Protocol::Tcp),
        (None, None) => (Port::Default(scheme.as_ref().and_then(Scheme::default_port)), Protocol::Tcp),
    };
    let host = host_of(input, host)?;
    if matches!((&host, &port), (Host::Ip(_) | Host::Localhost, Port::Name(_))) {
        let rule = "an address has no named ports";
        return Err(NameError::new(input, WHAT, rule, "write the port as a number"));
    }
    let target = Target::from_parts(scheme, host, port, protocol);
    Ok(if is_srv_name { target.written_as_srv_name() } else { target })
}

type SrvLabels = Option<(PortName, Protocol)>;

/// Splits the labels `_port._protocol.` off the front (RFC 2782). A name whose second label does not start with `_` is a
/// host, such as the `_gateway` of systemd-resolved.
fn split_srv<'a>(input: &str, host: &'a str) -> Result<(SrvLabels, &'a str), NameError> {
    let Some((port, rest)) = host.strip_prefix('_').and_then(|rest| rest.split_once("._")) else {
        return Ok((None, host));
    };
    if port.contains('.') {
        return Ok((None, host));
    }
    let refuse = |rule: &str| NameError::new(input, WHAT, rule, SRV_REMEDY);
    let Some((protocol, name)) = rest.split_once('.').filter(|(_, name)| !name.is_empty()) else {
        return Err(refuse("an SRV name must have three or more labels (RFC 2782)"));
    };
    let Some(protocol) = Protocol::from_srv_label(&format!("_{}", protocol.to_ascii_lowercase())) else {
        return Err(refuse("the second label of an SRV name must be `_tcp`, `_udp` or `_sctp`"));
    };
    if name.starts_with('_') {
        return Err(refuse("the third label of an SRV name must not start with `_`"));
    }
    let port = PortName::new(port).map_err(|error| error.within(input))?;
    Ok((Some((port, protocol)), name))
}

const SRV_REMEDY: &str = "write `_port._tcp.service`, as in `_http._tcp.orders`";

fn host_of(input: &str, text: &str) -> Result<Host, NameError> {
    if text.is_empty() {
        return Err(NameError::new(input, WHAT, "the host is empty", "write `host` or `host:port`"));
    }
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if literal.contains(':') {
        return literal.parse::<Ipv6Addr>().map(|ip| Host::Ip(IpAddr::V6(ip).to_canonical())).map_err(|_| {
            let remedy = "write it as in RFC 4291, without a zone: `[2001:db8::1]:8080`";
            NameError::new(input, WHAT, format!("`{literal}` is not an IPv6 address"), remedy)
        });
    }
    if text.starts_with('[') {
        let rule = format!("`{text}` is not an IPv6 address in brackets");
        return Err(NameError::new(input, WHAT, rule, "write `[::1]:8080`"));
    }
    let plain = text.strip_suffix('.').unwrap_or(text);
    if let Ok(ip) = plain.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(ip)));
    }
    name_of(input, text)
}

/// Parses a name: folds international names to ASCII, and rejects numbers that URLs would read as addresses.
fn name_of(input: &str, text: &str) -> Result<Host, NameError> {
    let ascii = match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) => name,
        Ok(_) => {
            let rule = format!("`{text}` is a number, which URLs read as an IPv4 address");
            return Err(NameError::new(input, WHAT, rule, "write the address as four decimal parts, or a name"));
        }
        Err(error) => {
            let remedy = "use letters, digits, `-` and `_`, and separate labels by `.`";
            return Err(NameError::new(input, WHAT, format!("`{text}`: {error}"), remedy));
        }
    };
    let name = DomainName::new(&ascii).map_err(|error| error.within(input))?;
    if name.labels().next_back() == Some("localhost") {
        return Ok(Host::Localhost);
    }
    let absolute = ascii.ends_with('.');
    if !absolute {
        service_labels(&name).map_err(|error| error.within(input))?;
    }
    Ok(Host::Name { name, absolute })
}

/// A name that ends in `.svc` is a Service or a pod of one, whatever the context, and its labels follow RFC 1123.
fn service_labels(name: &DomainName) -> Result<(), NameError> {
    let is_service = (3..=4).contains(&name.label_count()) && name.labels().next_back() == Some("svc");
    name.labels().filter(|_| is_service).try_for_each(|part| label(part, "name of a Service").map(drop))
}

#[cfg(test)]
mod tests;
