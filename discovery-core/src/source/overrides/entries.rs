//! Overrides as text: `name[:port] = address[:port], ...`.

use std::{collections::HashSet, fmt};

use crate::{
    name::{Host, Port, Target},
    plan::{Plan, Scope},
};

/// The overrides of one variable or file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    entries: Vec<Override>,
}

/// Where the requests for one name go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Override {
    /// The name that is overridden. Without a port it stands for all ports.
    name: Target,
    places: Places,
}

/// The right side of an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// Addresses and `localhost`, each one endpoint.
    Fixed(Vec<Target>),
    /// The name of a host or Service, which is looked up.
    Name(Target),
}

/// Why a text is not a list of overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OverrideError {
    line: usize,
    piece: String,
    rule: String,
    remedy: String,
}

/// The remedy for everything that is not in the form of an override.
const FORM: &str = "write `name[:port]=address[:port]`, for example `orders.shop=127.0.0.1:8080`";

impl Overrides {
    /// Parses overrides, separated by commas, semicolons or lines. A piece without `=` is another address of the
    /// override before it on the same line. `#` begins a comment.
    pub(crate) fn parse(text: &str) -> Result<Self, OverrideError> {
        let mut parsed = Parser::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            parsed.is_new_line = true;
            for piece in line.split([',', ';']).map(str::trim).filter(|piece| !piece.is_empty()) {
                parsed.add(piece).map_err(|(rule, remedy)| OverrideError {
                    line: number,
                    piece: piece.to_owned(),
                    rule,
                    remedy,
                })?;
            }
        }
        Ok(Self { entries: parsed.entries })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the override of the target of `plan`. One with a port comes before one for all ports.
    pub(super) fn find(&self, plan: &Plan, scope: &Scope) -> Option<&Override> {
        let of_target = self.entries.iter().filter(|entry| entry.is_for(plan, scope));
        of_target.max_by_key(|entry| !matches!(entry.name.port(), Port::Default(_)))
    }
}

impl Override {
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    fn is_for(&self, plan: &Plan, scope: &Scope) -> bool {
        let target = &plan.target;
        let is_port = match self.name.port() {
            Port::Default(_) => true,
            Port::Number(number) => target.port().number() == Some(*number),
            Port::Name(_) => target.port() == self.name.port(),
        };
        is_port && (is_same_host(self.name.host(), target.host()) || self.is_same_service(plan, scope))
    }

    /// Whether both names may mean the same Service or pod: `orders`, `orders.shop` and `orders.shop.svc.cluster.local`
    /// in the namespace `shop`.
    fn is_same_service(&self, plan: &Plan, scope: &Scope) -> bool {
        let meanings = &Plan::new(&self.name, scope).services;
        meanings.iter().any(|meaning| plan.services.contains(meaning))
    }
}

/// Prints the override as it may be written.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        match &self.places {
            Places::Name(name) => name.fmt(f),
            Places::Fixed(places) => {
                for (at, place) in places.iter().enumerate() {
                    write!(f, "{}{place}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

fn is_same_host(one: &Host, other: &Host) -> bool {
    match (one, other) {
        (Host::Name { name: one, .. }, Host::Name { name: other, .. }) => one == other,
        _ => false,
    }
}

#[derive(Default)]
struct Parser {
    entries: Vec<Override>,
    names: HashSet<Target>,
    /// No override stands on this line yet.
    is_new_line: bool,
}

/// A rule and a remedy.
type Broken = (String, String);

impl Parser {
    fn add(&mut self, piece: &str) -> Result<(), Broken> {
        let Some((name, place)) = piece.split_once('=') else {
            return match self.entries.last_mut() {
                Some(entry) if !self.is_new_line => entry.places.add(place_of(piece)?),
                _ => Err(("it has no `=`".to_owned(), FORM.to_owned())),
            };
        };
        let name = name_of(name.trim())?;
        if !self.names.insert(name.clone()) {
            let remedy = format!("write one override of `{name}`, with all its addresses separated by commas");
            return Err((format!("`{name}` is overridden twice"), remedy));
        }
        let place = place_of(place.trim())?;
        let places = if is_name(&place) { Places::Name(place) } else { Places::Fixed(vec![place]) };
        self.entries.push(Override { name, places });
        self.is_new_line = false;
        Ok(())
    }
}

impl Places {
    fn add(&mut self, place: Target) -> Result<(), Broken> {
        match self {
            Self::Fixed(places) if !is_name(&place) => places.push(place),
            _ => {
                let rule = "a name must be the only place of its override";
                return Err((rule.to_owned(), "use one name, or several addresses".to_owned()));
            }
        }
        Ok(())
    }
}

fn is_name(place: &Target) -> bool {
    matches!(place.host(), Host::Name { .. })
}

/// The left side: the name that the application uses.
fn name_of(text: &str) -> Result<Target, Broken> {
    let name = target(text)?;
    match name.host() {
        Host::Name { .. } => Ok(name),
        _ => Err((
            format!("`{name}` is an address, which is never looked up"),
            "override the name of a Service or host".to_owned(),
        )),
    }
}

/// The right side.
fn place_of(text: &str) -> Result<Target, Broken> {
    let place = target(text)?;
    match place.port() {
        Port::Name(port) => {
            let rule =
                format!("`{port}` is the name of a port, and the place of an override has no Service to look it up in");
            Err((rule, "write the number of the port, or none to keep that of the request".to_owned()))
        }
        _ => Ok(place),
    }
}

fn target(text: &str) -> Result<Target, Broken> {
    if text.is_empty() {
        return Err(("one side of `=` is empty".to_owned(), FORM.to_owned()));
    }
    let target = Target::new(text).map_err(|error| (error.rule().to_owned(), error.remedy().to_owned()))?;
    match target.scheme() {
        Some(scheme) => Err((
            format!("it has the scheme `{scheme}`"),
            "leave the scheme out: an override is for every scheme".to_owned(),
        )),
        None => Ok(target),
    }
}

impl fmt::Display for OverrideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, `{}`: {}; {}", self.line, self.piece.escape_debug(), self.rule, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{ClusterDomain, Namespace};

    fn scope() -> Scope {
        Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok())
    }

    fn found(overrides: &str, target: &str) -> Option<String> {
        let overrides = Overrides::parse(overrides).unwrap();
        let plan = Plan::new(&target.parse().unwrap(), &scope());
        overrides.find(&plan, &scope()).map(ToString::to_string)
    }

    #[test]
    fn an_override_is_for_every_spelling_of_a_service() {
        for name in ["orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local"] {
            let text = format!("{name}=127.0.0.1:8080");
            for target in
                ["orders", "http://orders.shop/v1", "orders.shop.svc:9000", "https://orders.shop.svc.cluster.local."]
            {
                assert_eq!(found(&text, target), Some(text.clone()), "{name} {target}");
            }
            for other in ["orders.billing", "http://payments", "127.0.0.1", "orders.shop.example.com"] {
                assert_eq!(found(&text, other), None, "{name} {other}");
            }
        }
        assert!(found("api.example.com=localhost:1", "https://API.example.com/").is_some());
        assert!(found("web-0.nginx=localhost:1", "web-0.nginx:80").is_some());
        assert!(found("web-0.nginx=localhost:1", "web-0.nginx.shop.svc:80").is_some());
        assert!(found("web-0.nginx=localhost:1", "web-1.nginx:80").is_none());
        assert!(found("web-0.nginx=localhost:1", "nginx:80").is_none());
    }

    #[test]
    fn a_port_narrows_an_override_to_itself() {
        let text = "rates=127.0.0.1:1\nrates:8080=127.0.0.1:2\nrates:grpc=127.0.0.1:3, rates:443=127.0.0.1:4";
        for (target, place) in [
            ("rates", "rates=127.0.0.1:1"),
            ("http://rates/", "rates=127.0.0.1:1"),
            ("rates:8080", "rates:8080=127.0.0.1:2"),
            ("_grpc._tcp.rates", "rates:grpc=127.0.0.1:3"),
            ("https://rates/", "rates:443=127.0.0.1:4"),
        ] {
            assert_eq!(found(text, target).as_deref(), Some(place), "{target}");
        }
        assert_eq!(found("rates:8080=127.0.0.1:2", "rates"), None);
    }

    #[test]
    fn commas_separate_overrides_and_addresses() {
        let text = " orders = 127.0.0.1:1 , [::1]:2,localhost; db.shop=db.internal:5432,\n\n# the rest\ncache=10.0.0.1 # one\n";
        let printed: Vec<String> = Overrides::parse(text).unwrap().entries.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["orders=127.0.0.1:1,[::1]:2,localhost", "db.shop=db.internal:5432", "cache=10.0.0.1"]);
        // Each prints as text that parses to the same.
        let again = Overrides::parse(&printed.join(",")).unwrap();
        assert_eq!(again, Overrides::parse(text).unwrap());
        assert_eq!(Overrides::parse("").unwrap().len(), 0);
    }

    #[test]
    fn an_error_names_the_line_the_rule_and_the_remedy() {
        for (text, wanted) in [
            ("orders", "line 1, `orders`: it has no `=`; write `name[:port]=address[:port]`"),
            ("a=10.0.0.1\n10.0.0.2", "line 2, `10.0.0.2`: it has no `=`"),
            ("orders=", "one side of `=` is empty"),
            ("=10.0.0.1", "one side of `=` is empty"),
            ("a=10.0.0.1,a=10.0.0.2", "`a` is overridden twice"),
            ("a=db,10.0.0.2", "a name must be the only place"),
            ("a=10.0.0.2,db", "a name must be the only place"),
            ("http://a=10.0.0.2", "it has the scheme `http`; leave the scheme out"),
            ("10.0.0.1=10.0.0.2", "`10.0.0.1` is an address, which is never looked up"),
            ("a=10.0.0.2:http", "an address has no named ports; write the port as a number"),
            ("a=db:http", "`http` is the name of a port"),
            ("a=10.0.0.2:99999", "line 1, `a=10.0.0.2:99999`"),
            ("a..b=10.0.0.2", "line 1, `a..b=10.0.0.2`"),
            ("a=10.0.0.2\u{1b}[1m", "\\u{1b}"),
        ] {
            let error = Overrides::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains('\u{1b}'), "{text:?}: {error}");
        }
    }
}
