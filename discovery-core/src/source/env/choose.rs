//! Which port of a Service a target means.

use std::num::NonZeroU16;

use super::{
    family::ServiceVars,
    var::{Family, part},
};
use crate::{
    Error,
    name::{Port, PortName, Protocol, Target},
};

/// What the variables say to the target's port.
#[derive(Debug)]
pub(super) enum Choice {
    Port(NonZeroU16),
    /// Nothing; why.
    NotApplicable(String),
}

/// The port that `target` means, out of those that the variables name.
///
/// An error when a host is set and neither a variable nor the target gives a port: a host that someone has set
/// must not be passed over.
pub(super) fn choose(family: &Family<'_>, vars: &ServiceVars, target: &Target) -> Result<Choice, Error> {
    let found = match (target.port(), target.scheme()) {
        (Port::Name(name), _) => vars.by_name(name, target.protocol()),
        (port, _) if vars.ports.is_empty() => return host_alone(family, port),
        (Port::Number(number), _) => vars.by_number(*number, target.protocol()),
        (Port::Default(number), Some(scheme)) => scheme
            .port_name()
            .and_then(|name| vars.by_name(&name, target.protocol()))
            .or_else(|| number.and_then(|number| vars.by_number(number, target.protocol())))
            .or_else(|| vars.only(target.protocol())),
        (Port::Default(_), None) => vars.first.or_else(|| vars.only(target.protocol())),
    };
    Ok(found.map_or_else(|| Choice::NotApplicable(silence(family, target)), Choice::Port))
}

impl ServiceVars {
    /// The port of that name; links may still say that it is of another protocol.
    fn by_name(&self, name: &PortName, protocol: Protocol) -> Option<NonZeroU16> {
        let name = part(name.as_str());
        let port = self.ports.iter().find(|port| port.name.as_deref() == Some(&*name))?;
        self.by_number(port.number, protocol)
    }

    /// `number`, if it is named: for `protocol` where the links tell protocols of it, for any where none does.
    fn by_number(&self, number: NonZeroU16, protocol: Protocol) -> Option<NonZeroU16> {
        let mut named = self.ports.iter().filter(|port| port.number == number).peekable();
        named.peek()?;
        let mut told = named.filter_map(|port| port.protocol).peekable();
        (told.peek().is_none() || told.any(|told| told == protocol)).then_some(number)
    }

    /// The only number that there is for `protocol`.
    fn only(&self, protocol: Protocol) -> Option<NonZeroU16> {
        let mut numbers = self.ports.iter().filter_map(|port| self.by_number(port.number, protocol));
        let first = numbers.next()?;
        numbers.all(|number| number == first).then_some(first)
    }
}

/// A host was set and no port: what the target says is taken as it is.
fn host_alone(family: &Family<'_>, port: &Port) -> Result<Choice, Error> {
    port.number().map(Choice::Port).ok_or_else(|| {
        Error::config(format!(
            "`{}` is set, and neither the target nor a variable gives a port: set `{}`, or write the port, as in \
             `name:8080`",
            family.name("_SERVICE_HOST"),
            family.name("_SERVICE_PORT"),
        ))
    })
}

fn silence(family: &Family<'_>, target: &Target) -> String {
    match (target.port(), target.scheme()) {
        (Port::Name(name), _) => {
            format!(
                "`{}` is not set for {}",
                family.name(&format!("_SERVICE_PORT_{}", part(name.as_str()))),
                target.protocol()
            )
        }
        (Port::Number(number), _) => format!("no variable names port {number}/{}", target.protocol()),
        (Port::Default(_), Some(scheme)) => format!("the variables name several ports or none, and no `{scheme}`"),
        (Port::Default(_), None) => "the variables name several ports, and none as the first".to_owned(),
    }
}
