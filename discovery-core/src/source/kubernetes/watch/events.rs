//! Decodes the events of a watch. Pure.

use k8s_openapi::serde_json::Deserializer;
use kube::core::{Status, WatchEvent};
use serde::de::DeserializeOwned;

use super::failure::Failure;

/// The bytes of a watch that have not been decoded yet.
///
/// The API server writes one event per line. A value of several lines is understood as well: proxies and debugging
/// options make a Status look like that.
#[derive(Debug, Default)]
pub(super) struct EventBuffer {
    bytes: Vec<u8>,
    /// Where the first event that has not been decoded begins.
    start: usize,
    /// Whether the bytes may hold a complete event.
    is_worth_decoding: bool,
}

impl EventBuffer {
    /// # Errors
    /// [`Failure::Other`] if an event is larger than any object of a cluster.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.len() + bytes.len() > MAX_EVENT_BYTES {
            let mega = MAX_EVENT_BYTES >> 20;
            return Err(Failure::from_bound(&format!("an event of the watch is larger than {mega} MiB")));
        }
        self.bytes.extend_from_slice(bytes);
        self.is_worth_decoding |= bytes.contains(&b'\n');
        Ok(())
    }

    /// Notes that no more bytes follow: the last event may lack its end of line.
    pub(super) fn end(&mut self) {
        self.is_worth_decoding = true;
    }

    /// Returns the next event, or `None` if more bytes are needed.
    pub(super) fn decode<W>(&mut self) -> Result<Option<WatchEvent<W>>, Failure>
    where
        W: Clone + DeserializeOwned,
    {
        if !self.is_worth_decoding {
            return Ok(None);
        }
        let rest = &self.bytes[self.start..];
        let mut events = Deserializer::from_slice(rest).into_iter::<WatchEvent<W>>();
        match events.next() {
            Some(Ok(event)) => {
                self.start += events.byte_offset();
                return Ok(Some(event));
            }
            Some(Err(error)) if !error.is_eof() => return Err(not_an_event(rest, &error)),
            Some(Err(_)) | None => {}
        }
        self.is_worth_decoding = false;
        Ok(None)
    }
}

/// Sorts what is not an event: a bare Status, or anything else.
fn not_an_event(bytes: &[u8], error: &dyn std::fmt::Display) -> Failure {
    match Deserializer::from_slice(bytes).into_iter::<Status>().next() {
        Some(Ok(status)) if status.is_failure() || status.code >= 400 => Failure::from_watch_status(&status),
        _ => Failure::from_malformed("the watch sent something else than events", error, bytes),
    }
}

/// The most bytes of one event. etcd holds objects of 1.5 MiB by default.
const MAX_EVENT_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Deserialize)]
    struct Name {
        name: String,
    }

    fn decode(buffer: &mut EventBuffer) -> Vec<String> {
        let mut decoded = Vec::new();
        loop {
            match buffer.decode::<Name>() {
                Ok(None) => return decoded,
                Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => decoded.push(object.name),
                Ok(Some(event)) => decoded.push(format!("{event:?}")),
                Err(failure) => {
                    decoded.push(format!("{failure:?}"));
                    return decoded;
                }
            }
        }
    }

    fn all(text: &str) -> Vec<String> {
        let mut buffer = EventBuffer::default();
        buffer.push(text.as_bytes()).unwrap();
        buffer.end();
        decode(&mut buffer)
    }

    const TWO: &str = "{\"type\":\"ADDED\",\"object\":{\"name\":\"a\"}}\n\r\n\
                       {\"object\":{\"name\":\"b\"},\"type\":\"MODIFIED\"}\n";

    /// Kubernetes API concepts, "Efficient detection of changes": a watch is a series of JSON documents.
    #[test]
    fn decodes_events_however_they_are_split() {
        for split in 0..TWO.len() {
            let (first, second) = TWO.as_bytes().split_at(split);
            let mut buffer = EventBuffer::default();
            buffer.push(first).unwrap();
            let mut decoded = decode(&mut buffer);
            buffer.push(second).unwrap();
            decoded.extend(decode(&mut buffer));
            assert_eq!(decoded, ["a", "b"], "{split}");
        }
    }

    #[test]
    fn an_event_may_take_several_lines() {
        let mut buffer = EventBuffer::default();
        let pretty = "{\n \"type\": \"ADDED\",\n \"object\": {\n  \"name\": \"a\"\n }\n}\n";
        let mut decoded = Vec::new();
        for byte in pretty.bytes().chain(TWO.bytes()) {
            buffer.push(&[byte]).unwrap();
            decoded.extend(decode(&mut buffer));
        }
        assert_eq!(decoded, ["a", "a", "b"]);
    }

    #[test]
    fn the_last_event_needs_no_end_of_line_and_a_part_of_one_is_ignored() {
        assert_eq!(all(TWO.trim_end()), ["a", "b"]);
        assert_eq!(all(&TWO[..TWO.len() - 2]), ["a"]);
        assert_eq!(all(""), Vec::<String>::new());
        assert_eq!(all(" \n\n"), Vec::<String>::new());
    }

    #[test]
    fn a_bare_status_of_several_lines_is_the_failure_that_it_names() {
        let status = "{\n \"kind\": \"Status\",\n \"status\": \"Failure\",\n \"message\": \"m\",\n \"code\": 410\n}\n";
        assert_eq!(all(status), ["Gone"]);
        assert_eq!(all(&status.replace('\n', "")), ["Gone"]);
        let denied = all(&status.replace("410", "403"));
        assert!(denied[0].contains("Denied(Watch"), "{denied:?}");
    }

    #[test]
    fn says_what_came_instead_of_events() {
        let page = all("<html>\n<body>log in</body>\n</html>\n");
        assert!(page[0].contains("<html> <body>log in</body> </html>"), "{page:?}");
        for text in ["{}\n", "[]\n", "\"no\"\n", "{\"type\":\"ADDED\",\"object\":7}\n", "{\"type\":\"NEW\"}\n"] {
            let failure = all(text);
            assert!(failure[0].contains("something else than events") && failure[0].contains("Other"), "{failure:?}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut buffer = EventBuffer::default();
        let flood = vec![b' '; 1 << 20];
        let accepted = (0..100).take_while(|_| buffer.push(&flood).is_ok()).count();
        assert_eq!(accepted, 32);
    }
}
