//! What a name below the cluster domain asks for: CoreDNS `plugin/kubernetes/parse.go`.

/// The name cannot exist whatever is declared: unknown top label, or too many labels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Impossible;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) branch: Branch,
    pub(super) namespace: &'a str,
    pub(super) object: Option<Object<'a>>,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Branch {
    Svc,
    Pod,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object<'a> {
    pub(super) name: &'a str,
    pub(super) part: Part<'a>,
}

/// What is left of the name in front of the Service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Whole,
    Endpoint(&'a str),
    Port { name: &'a str, protocol: &'a str },
}

/// Reads a normalized name without the cluster domain: `orders.shop.svc`.
/// `None` is a name that exists and holds nothing: the apex, `svc`, `pod`.
pub(super) fn parse(base: &str) -> Result<Option<Request<'_>>, Impossible> {
    let mut labels: Vec<&str> = base.split('.').filter(|label| !label.is_empty()).collect();
    let branch = match labels.pop() {
        None => return Ok(None),
        Some("svc") => Branch::Svc,
        Some("pod") => Branch::Pod,
        Some(_) => return Err(Impossible),
    };
    let Some(namespace) = labels.pop() else {
        return Ok(None);
    };
    let object = match labels.pop() {
        None => None,
        Some(name) => Some(Object { name, part: part(&labels)? }),
    };
    Ok(Some(Request { branch, namespace, object }))
}

fn part<'a>(labels: &[&'a str]) -> Result<Part<'a>, Impossible> {
    match *labels {
        [] => Ok(Part::Whole),
        [endpoint] => Ok(Part::Endpoint(endpoint)),
        // CoreDNS strips the underscores if they are there, and does not insist on them.
        [port, protocol] => Ok(Part::Port {
            name: port.strip_prefix('_').unwrap_or(port),
            protocol: protocol.strip_prefix('_').unwrap_or(protocol),
        }),
        _ => Err(Impossible),
    }
}
