//! Responses that keep their request in flight.

use std::mem;

use discovery_tower::{InFlight, InFlightBody};
use reqwest::{Response, ResponseBuilderExt as _, Url};

use crate::error::{has_user_info, hide_user_info};

/// The response, which keeps `request` in flight until its body, or the connection that it upgraded, has ended. `url` is
/// that of the request, if there is a copy of it.
pub(super) fn in_flight(mut response: Response, url: Option<Url>, request: InFlight) -> Response {
    let Some(request) = request.hold(response.extensions_mut()) else { return response };
    if response.content_length() == Some(0) {
        return response;
    }
    let url = url.filter(|url| url == response.url()).unwrap_or_else(|| response.url().clone());
    rebuilt(response, url, |body| reqwest::Body::wrap(InFlightBody::new(body, request)))
}

/// The response without the user and password of its URL, which the `Location` of a server may have brought: errors about
/// its body show that URL.
pub(super) fn without_user_info(response: Response) -> Response {
    if !has_user_info(response.url()) {
        return response;
    }
    let mut url = response.url().clone();
    hide_user_info(&mut url);
    rebuilt(response, url, |body| body)
}

/// The response with this URL and the body that `wrap` returns.
fn rebuilt(response: Response, url: Url, wrap: impl FnOnce(reqwest::Body) -> reqwest::Body) -> Response {
    let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    // reqwest takes the URL from an extension, which only a builder can add. The builder adds it to the existing ones: a
    // map of its own would cost two more allocations.
    let mut builder = http::response::Builder::new();
    swap(&mut builder, &mut parts);
    builder = builder.url(url);
    swap(&mut builder, &mut parts);
    http::Response::from_parts(parts, wrap(body)).into()
}

fn swap(builder: &mut http::response::Builder, parts: &mut http::response::Parts) {
    // `None` for a builder with an error, which this one does not have.
    if let Some(extensions) = builder.extensions_mut() {
        mem::swap(extensions, &mut parts.extensions);
    }
}
