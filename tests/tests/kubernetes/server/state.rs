//! The objects of the API server, and how it answers.

use std::collections::BTreeMap;

/// How requests are answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Mode {
    #[default]
    Serve,
    /// Every request whose journal line contains the text gets this status.
    Refuse(u16, &'static str),
    /// Watches begin and then send nothing, not even their end.
    Stall,
    /// The server accepts connections and never answers.
    Hang,
    /// Requests without this bearer token get 401.
    Token(&'static str),
    /// Every request whose journal line contains a text gets exactly this answer.
    Answer(Answer),
}

/// An answer as a server, or a proxy in front of it, writes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// What the journal line of a request contains that gets this answer.
    pub(crate) to: &'static str,
    pub(crate) status: u16,
    /// Header lines, each with its end of line.
    pub(crate) headers: &'static str,
    pub(crate) body: String,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) mode: Mode,
    pub(crate) version: u64,
    /// Watches from an older version get 410.
    pub(crate) oldest: u64,
    /// The next event of a watch is cut in the middle, together with the connection.
    pub(crate) cut: bool,
    /// The most objects in a page.
    pub(crate) page: usize,
    pub(crate) journal: Vec<String>,
    pub(crate) watching: usize,
    objects: BTreeMap<(String, String), String>,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) resource: String,
    pub(crate) line: String,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Serve,
            version: 1000,
            oldest: 0,
            cut: false,
            page: usize::MAX,
            journal: Vec::new(),
            watching: 0,
            objects: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, object: &str) {
        let resource = if object.contains(r#""kind":"Service""#) { "services" } else { "endpointslices" };
        let name = field(object, "name");
        self.version += 1;
        let object = object.replace(r#""resourceVersion":"@""#, &format!(r#""resourceVersion":"{}""#, self.version));
        let before = self.objects.insert((resource.to_owned(), name), object.clone());
        self.event(resource, if before.is_some() { "MODIFIED" } else { "ADDED" }, &object);
    }

    pub(crate) fn delete(&mut self, resource: &str, name: &str) {
        self.version += 1;
        let object = self.objects.remove(&(resource.to_owned(), name.to_owned())).unwrap();
        let before = format!(r#""resourceVersion":"{}""#, field(&object, "resourceVersion"));
        let object = object.replace(&before, &format!(r#""resourceVersion":"{}""#, self.version));
        self.event(resource, "DELETED", &object);
    }

    /// A bookmark for the watches of both resources, at a version that no object has.
    pub(crate) fn bookmark(&mut self) {
        self.version += 100;
        for (resource, kind) in [("services", "Service"), ("endpointslices", "EndpointSlice")] {
            let object = format!(
                r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"{}","creationTimestamp":null}}}}"#,
                self.version
            );
            self.event(resource, "BOOKMARK", &object);
        }
    }

    pub(crate) fn wipe(&mut self) {
        self.objects.clear();
        self.events.clear();
        self.version = 10;
    }

    /// Forgets all events, so that no watch can resume from an older version.
    pub(crate) fn compact(&mut self) {
        self.oldest = self.version;
        self.events.clear();
    }

    /// A page of the list that begins at `start`.
    pub(crate) fn list(&self, resource: &str, start: usize, limit: usize) -> String {
        let all: Vec<&str> =
            self.objects.iter().filter(|((r, _), _)| r == resource).map(|(_, object)| object.as_str()).collect();
        let limit = limit.min(self.page);
        let items: Vec<&str> = all.iter().skip(start).take(limit).copied().collect();
        let next = if start + items.len() < all.len() { format!("{}", start + items.len()) } else { String::new() };
        format!(
            r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"{}","continue":"{next}"}},"items":[{}]}}"#,
            self.version,
            items.join(",")
        )
    }

    pub(crate) fn events(&self, resource: &str, after: u64) -> Vec<Event> {
        self.events.iter().filter(|event| event.resource == resource && event.version > after).cloned().collect()
    }

    fn event(&mut self, resource: &str, kind: &str, object: &str) {
        let line = format!(r#"{{"type":"{kind}","object":{object}}}"#);
        self.events.push(Event { version: self.version, resource: resource.to_owned(), line });
    }
}

/// The value of the first field with this name.
fn field(object: &str, name: &str) -> String {
    // The metadata holds the object's name before any other name.
    let metadata = object.split_once(r#""metadata":"#).unwrap().1;
    let value = metadata.split_once(&format!(r#""{name}":""#)).unwrap().1;
    value.split_once('"').unwrap().0.to_owned()
}
