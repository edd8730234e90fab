//! What is kept of a request while it is under way.

use std::mem;

use http::{HeaderMap, Method, Version};
use reqwest::{Request, Url};

/// What is kept of a request in case that it is sent again.
pub(super) enum Spare {
    /// Nothing: the body is a stream.
    Stream,
    /// Most requests have no body and no timeout of their own, and reqwest's error gives the URL back.
    Head(Method, Version, Option<HeaderMap>),
    Whole(Box<Request>),
}

impl Spare {
    /// Without the URL where `whole` does not ask for it.
    pub(super) fn of(request: &Request, whole: bool) -> Self {
        if whole || request.body().is_some() || request.timeout().is_some() {
            return request.try_clone().map_or(Self::Stream, |copy| Self::Whole(Box::new(copy)));
        }
        let headers = request.headers();
        Self::Head(request.method().clone(), request.version(), (!headers.is_empty()).then(|| headers.clone()))
    }

    /// The request, once; `url` is where it went.
    pub(super) fn request(&mut self, url: Option<&Url>) -> Option<Request> {
        match (mem::replace(self, Self::Stream), url) {
            (Self::Whole(copy), _) => Some(*copy),
            (Self::Head(method, version, headers), Some(url)) => {
                let mut request = Request::new(method, url.clone());
                *request.version_mut() = version;
                *request.headers_mut() = headers.unwrap_or_default();
                Some(request)
            }
            _ => None,
        }
    }
}
