//! As little HTTP/1.1 as the tests need: requests without a body, lists with a length, watches in chunks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Mode, Shared};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

struct Request {
    resource: String,
    query: BTreeMap<String, String>,
    token: Option<String>,
}

pub(crate) async fn serve(mut stream: impl Stream, shared: Arc<Shared>) {
    while let Some(request) = read(&mut stream).await {
        let mode = note(&shared, &request);
        let done = match mode {
            Mode::Hang => std::future::pending().await,
            Mode::Refuse(status, _) => refuse(&mut stream, status).await,
            Mode::Answer(answer) => write(&mut stream, answer.status, answer.headers, &answer.body).await,
            Mode::Token(token) if request.token.as_deref() != Some(token) => refuse(&mut stream, 401).await,
            _ if request.is_watch() => watch(&mut stream, &shared, &request).await,
            _ => list(&mut stream, &shared, &request).await,
        };
        if done.is_none() {
            return;
        }
    }
}

/// Records the request, and returns how to answer it.
fn note(shared: &Shared, request: &Request) -> Mode {
    let mode = {
        let mut state = shared.state();
        let line = request.line();
        let mode = match state.mode.clone() {
            Mode::Refuse(_, what) if !line.contains(what) => Mode::Serve,
            Mode::Answer(answer) if !line.contains(answer.to) => Mode::Serve,
            mode => mode,
        };
        state.journal.push(line);
        mode
    };
    shared.notify();
    mode
}

impl Request {
    fn is_watch(&self) -> bool {
        self.query.contains_key("watch")
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.query.get(name).and_then(|value| value.parse().ok())
    }

    /// `list services`, `probe services`, `watch services from 17`.
    fn line(&self) -> String {
        match (self.is_watch(), self.number("limit")) {
            (true, _) => format!("watch {} from {}", self.resource, self.query["resourceVersion"]),
            (false, Some(1)) => format!("probe {}", self.resource),
            _ => format!("list {}", self.resource),
        }
    }
}

/// The next request; `None` at the end of the connection.
async fn read(stream: &mut impl Stream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ").map(str::to_owned));
    let resource = path.rsplit('/').next()?.to_owned();
    // A client has to use the paths and parameters of a real API server.
    assert!(
        path.contains("/namespaces/shop/")
            || ["billing", "com"].iter().any(|n| path.contains(&format!("/namespaces/{n}/"))),
        "{path}"
    );
    if resource == "endpointslices" {
        assert!(path.starts_with("/apis/discovery.k8s.io/v1/"), "{path}");
        assert!(query.contains("labelSelector=kubernetes.io%2Fservice-name"), "{query}");
    }
    Some(Request { resource, query: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(), token })
}

async fn answer(stream: &mut impl Stream, status: u16, body: &str) -> Option<()> {
    write(stream, status, "content-type: application/json\r\n", body).await
}

async fn write(stream: &mut impl Stream, status: u16, headers: &str, body: &str) -> Option<()> {
    let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

fn status(code: u16) -> String {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        _ => "InternalError",
    };
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"as the test wants it","reason":"{reason}","code":{code}}}"#
    )
}

async fn refuse(stream: &mut impl Stream, code: u16) -> Option<()> {
    answer(stream, code, &status(code)).await
}

async fn list(stream: &mut impl Stream, shared: &Shared, request: &Request) -> Option<()> {
    let start = request.number("continue").unwrap_or(0) as usize;
    let limit = request.number("limit").unwrap_or(u64::MAX) as usize;
    let body = shared.state().list(&request.resource, start, limit);
    answer(stream, 200, &body).await
}

async fn watch(stream: &mut impl Stream, shared: &Shared, request: &Request) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    shared.state().watching += 1;
    shared.notify();
    let _watching = Watching(shared);
    let end = tokio::time::Instant::now() + Duration::from_secs(request.number("timeoutSeconds")?);
    let mut version = request.number("resourceVersion")?;
    if version < shared.state().oldest {
        let gone = format!(r#"{{"type":"ERROR","object":{}}}"#, status(410));
        chunk(stream, &format!("{gone}\n")).await?;
        return stream.write_all(b"0\r\n\r\n").await.ok();
    }
    let mut changes = shared.changes();
    loop {
        let (events, cut, stalled) = {
            let mut state = shared.state();
            let events = state.events(&request.resource, version);
            let stalled = state.mode == Mode::Stall;
            let cut = !stalled && !events.is_empty() && std::mem::take(&mut state.cut);
            (events, cut, stalled)
        };
        for event in events.into_iter().filter(|_| !stalled) {
            if cut {
                chunk(stream, &event.line[..event.line.len() / 2]).await?;
                return None;
            }
            version = event.version;
            chunk(stream, &format!("{}\n", event.line)).await?;
        }
        let mut ignored = [0];
        tokio::select! {
            _ = changes.changed() => {}
            // The client has closed the connection.
            _ = stream.read(&mut ignored) => return None,
            () = tokio::time::sleep_until(end), if !stalled => return stream.write_all(b"0\r\n\r\n").await.ok(),
        }
    }
}

async fn chunk(stream: &mut impl Stream, text: &str) -> Option<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

struct Watching<'a>(&'a Shared);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.state().watching -= 1;
        self.0.notify();
    }
}
