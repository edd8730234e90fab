use http_body_util::{Full, StreamBody};

use super::*;

/// A body of unknown length that comes in pieces.
fn pieces(pieces: &'static [&'static str]) -> impl Body<Data = Bytes, Error = BoxError> + Send + 'static {
    let frames = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
    StreamBody::new(tokio_stream::iter(frames.collect::<Vec<_>>()))
}

async fn text(body: ReplayBody) -> Result<String, BoxError> {
    Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec())?)
}

async fn frame(body: &mut ReplayBody) -> Result<String, String> {
    match body.frame().await {
        Some(Ok(frame)) => Ok(String::from_utf8_lossy(&frame.into_data().unwrap()).into_owned()),
        Some(Err(error)) => Err(error.to_string()),
        None => Ok("end".to_owned()),
    }
}

#[tokio::test]
async fn reads_a_small_body_again_from_any_point() {
    let mut body = ReplayBody::new(pieces(&["ab", "cd", "ef"]), 6);
    assert_eq!(frame(&mut body).await.unwrap(), "ab");
    assert_eq!(text(body.clone()).await.unwrap(), "abcdef");
    assert_eq!(text(body.clone()).await.unwrap(), "abcdef", "after its end, too");
}

#[tokio::test]
async fn keeps_the_length_of_the_rest() {
    let body = ReplayBody::new(Full::new(Bytes::from("12345")), 10);
    assert_eq!(body.size_hint().exact(), Some(5));
    let copy = body.clone();
    assert_eq!(text(body).await.unwrap(), "12345");
    assert_eq!(copy.size_hint().exact(), Some(5));
    assert!(!copy.is_end_stream());
}

#[tokio::test]
async fn an_untouched_body_may_have_any_size() {
    let body = ReplayBody::new(pieces(&["0123456789", "0123456789"]), 1);
    let copy = body.clone();
    drop(body);
    assert!(copy.is_replayable());
    assert_eq!(text(copy.clone()).await.unwrap(), "01234567890123456789");
    assert!(!copy.is_replayable());
    assert!(!copy.is_end_stream() && copy.size_hint().exact().is_none(), "never sent as an empty body");
    assert!(text(copy.clone()).await.unwrap_err().to_string().contains("more than 1 bytes were read"));
}

#[tokio::test]
async fn beyond_the_limit_the_body_passes_through() {
    let mut body = ReplayBody::new(pieces(&["ab", "cd", "ef"]), 3);
    assert_eq!(frame(&mut body).await.unwrap(), "ab");
    assert!(body.is_replayable());
    assert_eq!(frame(&mut body).await.unwrap(), "cd");
    assert!(!body.is_replayable());
    assert_eq!(frame(&mut body).await.unwrap(), "ef");
    assert_eq!(frame(&mut body).await.unwrap(), "end");
}

#[tokio::test]
async fn an_earlier_reader_fails_after_a_later_one_has_begun() {
    let mut body = ReplayBody::new(pieces(&["ab", "cd"]), 10);
    let mut copy = body.clone();
    assert_eq!(frame(&mut body).await.unwrap(), "ab");
    assert_eq!(frame(&mut copy).await.unwrap(), "ab");
    assert!(frame(&mut body).await.unwrap_err().contains("sent again by a retry"));
    assert_eq!(frame(&mut copy).await.unwrap(), "cd");
}

#[tokio::test]
async fn a_body_that_failed_is_not_sent_again() {
    let frames = [Ok(Frame::data(Bytes::from("ab"))), Err::<Frame<Bytes>, BoxError>("broken".into())];
    let body = ReplayBody::new(StreamBody::new(tokio_stream::iter(frames)), 10);
    let copy = body.clone();
    assert_eq!(text(body).await.unwrap_err().to_string(), "broken");
    assert!(!copy.is_replayable());
}

#[tokio::test]
async fn keeps_trailers() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from("ab"))), Ok::<_, BoxError>(Frame::trailers(trailers.clone()))];
    let body = ReplayBody::new(StreamBody::new(tokio_stream::iter(frames)), 10);
    let copy = body.clone();
    assert_eq!(body.collect().await.unwrap().trailers(), Some(&trailers));
    assert_eq!(copy.collect().await.unwrap().trailers(), Some(&trailers));
}

#[test]
fn an_empty_body_stays_empty() {
    let body = ReplayBody::new(Full::new(Bytes::new()), 10);
    assert!(body.is_end_stream() && body.clone().is_end_stream() && body.is_replayable());
    assert_eq!(body.size_hint().exact(), Some(0));
}
