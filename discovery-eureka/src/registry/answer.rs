//! What a registry answered.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use http::header;
use reqwest::Response;

use super::Call;
use crate::Error;

/// More is no registry: 100 000 instances take about 150 MB.
const MOST: usize = 512 << 20;

/// Unpacking and reading so much takes a millisecond or more.
const LARGE: usize = 64 << 10;

/// How much of a refusal's text is worth telling.
const TOLD: usize = 200;

/// Status and body, unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body to its end.
    pub(super) async fn read(mut response: Response) -> Result<Self, Unread> {
        let status = response.status().as_u16();
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        let packed = encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
            if body.len() + chunk.len() > MOST {
                return Err(Unread::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        let body =
            if packed { off_thread(body.len(), move || unpack(&body)).await.map_err(Unread::Left)?? } else { body };
        Ok(Self { status, body })
    }

    /// The answer as an error. The body of a refusal is plain text, whatever its type says.
    pub(crate) fn refusal(&self, call: &Call, url: impl std::fmt::Display) -> Error {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.trim().chars().filter(|c| !c.is_control()).take(TOLD).collect();
        let said = if text.is_empty() { String::new() } else { format!(": {text}") };
        Error::answered(self.status, format!("{url} answered {call} with {}{said}", self.status))
    }
}

/// Why an answer could not be read to its end.
#[derive(Debug)]
pub(super) enum Unread {
    Broken(reqwest::Error),
    Unpacked(std::io::Error),
    Left(Error),
    TooLong,
}

/// Does what takes milliseconds for a large registry where no other task waits for it.
pub(crate) async fn off_thread<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if size < LARGE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::closed(format!("an answer was not read: {error}")))
}

fn unpack(body: &[u8]) -> Result<Bytes, Unread> {
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body).take(MOST as u64 + 1).read_to_end(&mut plain);
    match read.map_err(Unread::Unpacked)? {
        length if length > MOST => Err(Unread::TooLong),
        _ => Ok(plain.into()),
    }
}
