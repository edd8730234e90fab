//! A fake Eureka registry with room for one instance, so that the example runs offline.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use discovery_testing::FakePod;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

pub(crate) async fn start() -> io::Result<FakePod> {
    let instance = Mutex::new(None);
    FakePod::with_handler("eureka", move |request| {
        let mut instance = instance.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body) = answer(&request, &mut instance);
        println!("registry      {} {}: {}", request.method(), request.uri().path(), status.as_u16());
        let mut response = Response::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()));
        *response.status_mut() = status;
        response
    })
    .await
}

fn answer(request: &Request<Bytes>, registered: &mut Option<Value>) -> (StatusCode, Option<Value>) {
    let all = |registered: &Option<Value>| {
        let app = registered
            .iter()
            .map(|instance| json!({"name": instance["app"], "instance": [instance]}))
            .collect::<Value>();
        json!({"applications": {"versions__delta": "1", "apps__hashcode": "UP_1_", "application": app}})
    };
    match (request.method(), request.uri().path()) {
        (&Method::POST, _) => {
            *registered = serde_json::from_slice(request.body()).ok().map(|mut body: Value| body["instance"].take());
            (StatusCode::NO_CONTENT, None)
        }
        (&Method::DELETE, _) if registered.take().is_some() => (StatusCode::OK, None),
        (&Method::PUT, _) if registered.is_some() => (StatusCode::OK, None),
        (&Method::GET, "/eureka/apps" | "/eureka/apps/delta") => (StatusCode::OK, Some(all(registered))),
        (&Method::GET, _) if registered.is_some() => (StatusCode::OK, Some(json!({"instance": registered}))),
        _ => (StatusCode::NOT_FOUND, None),
    }
}
