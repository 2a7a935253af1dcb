//! Watches: every change of a kind after a revision, once and in order, as far as the selector takes it. An object that leaves the selection is
//! told of as deleted, one that enters it as added.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    Shared,
    refusal::Refusal,
    selector::Selector,
    store::{Change, Kind},
    version::Version,
};

/// How often a watch that sees nothing hears how far it is.
const BOOKMARK: Duration = Duration::from_mins(1);

/// What is watched.
pub struct Watched {
    /// The kind.
    pub kind: Kind,
    /// The namespace; all if none.
    pub namespace: Option<String>,
    /// Which objects.
    pub selector: Selector,
    /// It wants to hear how far it is.
    pub bookmarks: bool,
    /// When it ends.
    pub end: Instant,
}

/// One watch on its way.
struct Watch {
    shared: Arc<Shared>,
    watched: Watched,
    news: watch::Receiver<u64>,
    seen: u64,
    is_over: bool,
}

/// The lines of a watch, with all that is due in one piece. Without a revision it begins with the objects that are there.
pub fn lines(shared: &Arc<Shared>, watched: Watched, after: Option<u64>) -> impl Stream<Item = Bytes> + Send + 'static + use<> {
    let (seen, news, first) = {
        let mut store = shared.store();
        let news = store.news(watched.kind);
        let mut first = Vec::new();
        if let Some(revision) = after {
            (revision, news, first)
        } else {
            for object in store.list(watched.kind, watched.namespace.as_deref(), &watched.selector) {
                line(&mut first, "ADDED", &object.bytes);
            }
            (store.revision(), news, first)
        }
    };
    let watch = Watch { shared: shared.clone(), watched, news, seen, is_over: false };
    stream::unfold((watch, Some(first)), |(mut watch, first)| async move {
        if let Some(first) = first.filter(|first| !first.is_empty()) {
            return Some((Bytes::from(first), (watch, None)));
        }
        let text = watch.next().await?;
        Some((Bytes::from(text), (watch, None)))
    })
}

impl Watch {
    async fn next(&mut self) -> Option<Vec<u8>> {
        while !self.is_over {
            // Marked before the look, so that what comes during it wakes again.
            self.news.mark_unchanged();
            let found = self.shared.store().changes(self.watched.kind, self.seen);
            let mut text = Vec::new();
            match found {
                Ok(changes) => self.take(&changes, &mut text),
                Err(refusal) => {
                    self.is_over = true;
                    line(&mut text, "ERROR", refusal.to_value().to_string().as_bytes());
                }
            }
            if !text.is_empty() {
                return Some(text);
            }
            let wake = (Instant::now() + BOOKMARK).min(self.watched.end);
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep_until(wake) => {
                    self.is_over = Instant::now() >= self.watched.end;
                    if self.watched.bookmarks {
                        return Some(self.bookmark());
                    }
                }
            }
        }
        None
    }

    fn take(&mut self, changes: &[Change], text: &mut Vec<u8>) {
        for change in changes {
            self.seen = change.revision;
            self.tell(change, text);
        }
    }

    fn tell(&self, change: &Change, text: &mut Vec<u8>) {
        let takes = |version: &Version| {
            let is_here = self.watched.namespace.as_ref().is_none_or(|namespace| version.meta("namespace") == namespace);
            is_here && self.watched.selector.takes(&version.value)
        };
        let before = change.before.as_deref().filter(|before| takes(before));
        match (before, takes(&change.after) && !change.is_gone) {
            (None, true) => line(text, "ADDED", &change.after.bytes),
            (Some(_), true) => line(text, "MODIFIED", &change.after.bytes),
            (Some(_), false) if change.is_gone => line(text, "DELETED", &change.after.bytes),
            // As it was when it was last selected, and as old as what took it out.
            (Some(before), false) => {
                let last = Version::new(self.watched.kind, before.value.clone(), before.managers.clone(), change.revision);
                line(text, "DELETED", &last.bytes);
            }
            (None, false) => {}
        }
    }

    /// How far this watch is. What is not of its selection has been seen too.
    fn bookmark(&self) -> Vec<u8> {
        let kind = self.watched.kind;
        let object = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": {"resourceVersion": self.seen.to_string(), "creationTimestamp": Value::Null}});
        let mut text = Vec::new();
        line(&mut text, "BOOKMARK", object.to_string().as_bytes());
        text
    }
}

fn line(text: &mut Vec<u8>, kind: &str, object: &[u8]) {
    text.extend_from_slice(b"{\"type\":\"");
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(b"\",\"object\":");
    text.extend_from_slice(object);
    text.extend_from_slice(b"}\n");
}

/// The revision that a request names; none for "any".
pub fn revision(text: Option<&str>) -> Result<Option<u64>, Refusal> {
    match text {
        None | Some("" | "0") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Refusal::bad(format!("{text} is no resource version"))),
    }
}
