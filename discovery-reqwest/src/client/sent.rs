//! A request under way.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use reqwest::redirect;
use tokio::time::Sleep;

/// A request on its way.
pub(super) struct Sent<'a, F> {
    response: Pin<&'a mut F>,
    /// The endpoint has seen the request, whatever the error says.
    pub(super) redirected: bool,
    soon: Option<Pin<Box<Sleep>>>,
}

impl<'a, F> Sent<'a, F> {
    pub(super) fn new(response: Pin<&'a mut F>, soon: Option<Duration>) -> Self {
        Self { response, redirected: false, soon: soon.map(|soon| Box::pin(tokio::time::sleep(soon))) }
    }
}

impl<F: Future> Future for Sent<'_, F> {
    /// `None` once, when it has taken as long as it was given; it goes on if it is polled again.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // reqwest asks its policy for redirects while it is polled.
        let outer = REDIRECTED.replace(false);
        let polled = this.response.as_mut().poll(context);
        this.redirected |= REDIRECTED.replace(outer);
        match (polled, &mut this.soon) {
            (Poll::Ready(response), _) => Poll::Ready(Some(response)),
            (Poll::Pending, Some(soon)) => {
                ready!(soon.as_mut().poll(context));
                this.soon = None;
                Poll::Ready(None)
            }
            (Poll::Pending, None) => Poll::Pending,
        }
    }
}

thread_local! {
    /// Whether the request that is being polled has been redirected.
    static REDIRECTED: Cell<bool> = const { Cell::new(false) };
}

/// Makes redirects seen; what they do is up to reqwest's own policy.
pub(super) fn watch_redirects(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    let policy = redirect::Policy::default();
    builder.redirect(redirect::Policy::custom(move |attempt| {
        REDIRECTED.set(true);
        policy.redirect(attempt)
    }))
}
