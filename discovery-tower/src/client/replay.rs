//! A request body that can be sent again.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use pin_project_lite::pin_project;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body that can be sent again until more of it has been read than a limit allows.
///
/// The body is streamed, and the frames that have been read are kept up to the limit. A clone reads the same body from the
/// beginning: first the kept frames, then the rest. So a small body can always be sent again, and a body of any size can be
/// sent again if it has not been read yet. Clones do not read independently: once a clone has been read, reading an earlier
/// one fails.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use bytes::Bytes;
/// use discovery_tower::ReplayBody;
/// use http_body_util::{BodyExt, Full};
///
/// let body = ReplayBody::new(Full::new(Bytes::from("small")), 1024);
/// let copy = body.clone();
/// assert_eq!(body.collect().await?.to_bytes(), "small");
/// assert!(copy.is_replayable());
/// assert_eq!(copy.collect().await?.to_bytes(), "small");
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// # }).unwrap();
/// ```
pub struct ReplayBody {
    /// `None`: the body is empty.
    shared: Option<Arc<Mutex<Shared>>>,
    reader: Reader,
}

#[derive(Clone, Copy, Default)]
struct Reader {
    /// 0 until the first read, when the reader takes over.
    turn: u64,
    /// How many of the kept frames it has read.
    position: usize,
}

struct Shared {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// What has been read of `body`, unless it was `lost`.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    limit: usize,
    lost: bool,
    ended: bool,
    /// The reader whose turn it is.
    turn: u64,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl ReplayBody {
    /// Makes a body that can be sent again until more than `limit` bytes of it have been read.
    #[must_use]
    pub fn new<B>(body: B, limit: usize) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        let shared = Shared {
            body: IntoBytes { body }.map_err(Into::into).boxed_unsync(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            limit,
            lost: false,
            ended: false,
            turn: 0,
        };
        Self { shared: Some(Arc::new(Mutex::new(shared))), reader: Reader::default() }
    }

    /// A body without data.
    #[must_use]
    pub fn empty() -> Self {
        Self { shared: None, reader: Reader::default() }
    }

    /// Returns whether a new clone can be read from its beginning.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| !lock(shared).lost)
    }
}

impl Clone for ReplayBody {
    /// A reader of the same body, from its beginning.
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), reader: Reader::default() }
    }
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { shared: Some(shared), reader } = &mut *self else { return Poll::Ready(None) };
        lock(shared).poll(reader, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let shared = lock(shared);
            !shared.is_too_late(&self.reader)
                && !shared.is_behind(&self.reader)
                && (shared.ended || shared.body.is_end_stream())
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else { return SizeHint::with_exact(0) };
        lock(shared).size_hint(&self.reader)
    }
}

impl Shared {
    /// Whether the beginning is not there any more for a reader that has not begun.
    fn is_too_late(&self, reader: &Reader) -> bool {
        self.lost && reader.turn == 0
    }

    fn is_behind(&self, reader: &Reader) -> bool {
        !self.lost && reader.position < self.kept.len()
    }

    fn poll(&mut self, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_too_late(reader) {
            let text = format!("the request body cannot be sent again: more than {} bytes were read", self.limit);
            return Poll::Ready(Some(Err(text.into())));
        }
        if reader.turn == 0 {
            self.turn += 1;
            reader.turn = self.turn;
        }
        if reader.turn != self.turn {
            return Poll::Ready(Some(Err("the request body is being sent again by a retry".into())));
        }
        if self.is_behind(reader) {
            let kept = self.kept.get(reader.position).cloned();
            reader.position += 1;
            return Poll::Ready(kept.map(|kept| Ok(kept.into())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.keep(frame, reader),
            // The rest of a body that failed is not there for a second reader either.
            Some(Err(_)) => self.lose(),
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, frame: &Frame<Bytes>, reader: &mut Reader) {
        if self.lost {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if self.kept_bytes + data.len() <= self.limit => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            _ => return self.lose(),
        };
        if let Kept::Data(data) = &kept {
            self.kept_bytes += data.len();
        }
        self.kept.push_back(kept);
        reader.position = self.kept.len();
    }

    fn lose(&mut self) {
        self.lost = true;
        self.kept = VecDeque::new();
    }

    fn size_hint(&self, reader: &Reader) -> SizeHint {
        if self.is_too_late(reader) {
            return SizeHint::default();
        }
        let rest = if self.ended { SizeHint::with_exact(0) } else { self.body.size_hint() };
        if !self.is_behind(reader) {
            return rest;
        }
        let unread = self.kept.range(reader.position..).map(|kept| match kept {
            Kept::Data(data) => data.len() as u64,
            Kept::Trailers(_) => 0,
        });
        let unread: u64 = unread.sum();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(unread));
        }
        hint.set_lower(rest.lower().saturating_add(unread));
        hint
    }
}

pin_project! {
    /// A body whose data is `Bytes`. Unlike `BodyExt::map_frame`, it knows its length.
    struct IntoBytes<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body> Body for IntoBytes<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let into_bytes = |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
        self.project().body.poll_frame(cx).map_ok(into_bytes)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl From<Kept> for Frame<Bytes> {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Data(data) => Self::data(data),
            Kept::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ReplayBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody")
            .field("size_hint", &self.size_hint())
            .field("is_replayable", &self.is_replayable())
            .finish()
    }
}

#[cfg(test)]
mod tests;
