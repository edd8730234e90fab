//! A registry that is none: it holds what one pod registers, so that the example runs offline.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use discovery_testing::FakePod;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

pub(crate) async fn start() -> io::Result<FakePod> {
    let held = Mutex::new(None);
    FakePod::with_handler("eureka", move |request| {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body) = answer(&request, &mut held);
        println!("registry     {} {}: {}", request.method(), request.uri().path(), status.as_u16());
        let mut response = Response::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()));
        *response.status_mut() = status;
        response
    })
    .await
}

fn answer(request: &Request<Bytes>, held: &mut Option<Value>) -> (StatusCode, Option<Value>) {
    let all = |held: &Option<Value>| {
        let app =
            held.iter().map(|instance| json!({"name": instance["app"], "instance": [instance]})).collect::<Value>();
        json!({"applications": {"versions__delta": "1", "apps__hashcode": "UP_1_", "application": app}})
    };
    match (request.method(), request.uri().path()) {
        (&Method::POST, _) => {
            *held = serde_json::from_slice(request.body()).ok().map(|mut body: Value| body["instance"].take());
            (StatusCode::NO_CONTENT, None)
        }
        (&Method::DELETE, _) if held.take().is_some() => (StatusCode::OK, None),
        (&Method::PUT, _) if held.is_some() => (StatusCode::OK, None),
        (&Method::GET, "/eureka/apps" | "/eureka/apps/delta") => (StatusCode::OK, Some(all(held))),
        (&Method::GET, _) if held.is_some() => (StatusCode::OK, Some(json!({"instance": held}))),
        _ => (StatusCode::NOT_FOUND, None),
    }
}
