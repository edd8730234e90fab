//! What the API server rejects in a manifest.

use std::error::Error;

use discovery_proxy::{
    object::{AddressType, Affinity, IpFamily, IpMode, Protocol, ServiceType, TrafficPolicy, Unsupported},
    validate::FieldError,
};
use serde_json::Value;

/// Checks the values of enums, which a conversion would replace by their defaults.
///
/// # Errors
///
/// Names every misspelt value with its field, one a line.
pub(crate) fn spelling(kind: &str, document: &Value) -> Result<(), Box<dyn Error>> {
    let mut errors = Vec::new();
    let mut check = |path: &str, parse: fn(&str) -> Option<Unsupported>| {
        for (field, text) in texts(document, path) {
            errors.extend(parse(&text).map(|word| FieldError::unsupported(field, &word)));
        }
    };
    match kind {
        "Service" => {
            check("spec.type", unsupported::<ServiceType>);
            check("spec.externalTrafficPolicy", unsupported::<TrafficPolicy>);
            check("spec.internalTrafficPolicy", unsupported::<TrafficPolicy>);
            check("spec.sessionAffinity", unsupported::<Affinity>);
            check("spec.ipFamilies[]", unsupported::<IpFamily>);
            check("spec.ports[].protocol", unsupported::<Protocol>);
            check("status.loadBalancer.ingress[].ipMode", unsupported::<IpMode>);
        }
        "EndpointSlice" => {
            check("addressType", unsupported::<AddressType>);
            check("ports[].protocol", unsupported::<Protocol>);
        }
        "Endpoints" => check("subsets[].ports[].protocol", unsupported::<Protocol>),
        _ => {}
    }
    let name = document["metadata"]["name"].as_str().unwrap_or("?");
    valid(&format!("{kind} `{name}`"), &errors)
}

/// Turns the errors of a validation into one error with a line for each.
pub(crate) fn valid(object: &str, errors: &[FieldError]) -> Result<(), Box<dyn Error>> {
    let lines: Vec<_> = errors.iter().map(|error| format!("{object}: {error}")).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n").into()) }
}

fn unsupported<T: std::str::FromStr<Err = Unsupported>>(text: &str) -> Option<Unsupported> {
    text.parse::<T>().err()
}

/// The texts at a path such as `spec.ports[].protocol`, each with its own path.
fn texts(value: &Value, path: &str) -> Vec<(String, String)> {
    let mut found = vec![(String::new(), value)];
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        let join = |field: String| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        found = found.into_iter().filter_map(|(field, value)| Some((join(field), value.get(name)?))).collect();
        if part.ends_with("[]") {
            let items = |(field, value): (String, _)| {
                let list = Value::as_array(value).into_iter().flatten().enumerate();
                list.map(move |(at, item)| (format!("{field}[{at}]"), item)).collect::<Vec<_>>()
            };
            found = found.into_iter().flat_map(items).collect();
        }
    }
    found.into_iter().filter_map(|(field, value)| Some((field, value.as_str()?.to_owned()))).collect()
}
