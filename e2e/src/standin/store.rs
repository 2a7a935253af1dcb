//! Everything that the stand-in holds: objects by kind, namespace and name, one revision for all of them, and the changes of late for watches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use tokio::sync::watch;

use super::{refusal::Refusal, resource::Resource, selector::Selector, version::Version};

/// Changes of one kind that are kept for watches; who asks for older ones must list again.
const KEPT_CHANGES: usize = 10_000;
/// Lists of which the rest is asked for later; the oldest is forgotten.
const KEPT_LISTS: usize = 64;

/// A kind, as it is served.
pub type Kind = &'static Resource;

/// Namespace and name.
pub type Key = (String, String);

/// Where an object is found.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
}

impl Place {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.key.1
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// The object before; none if it was made.
    pub before: Option<Arc<Version>>,
    /// The object after, as it was when it went if `is_gone`.
    pub after: Arc<Version>,
    /// The object is no more.
    pub is_gone: bool,
}

/// All objects of one kind.
struct Room {
    objects: BTreeMap<Key, Arc<Version>>,
    changes: VecDeque<Change>,
    /// The newest change that is not kept any more.
    forgotten: u64,
    newest: watch::Sender<u64>,
}

impl Default for Room {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), changes: VecDeque::new(), forgotten: 0, newest: watch::Sender::new(0) }
    }
}

/// The rest of a list that is read in pieces.
struct Rest {
    token: String,
    revision: u64,
    items: Vec<Arc<Version>>,
}

/// One piece of a list.
pub struct Page {
    /// The revision of the whole list.
    pub revision: u64,
    /// Its objects.
    pub items: Vec<Arc<Version>>,
    /// How the next piece is asked for, and how many objects are left.
    pub next: Option<(String, usize)>,
}

/// Everything.
#[derive(Default)]
pub struct Store {
    revision: u64,
    rooms: HashMap<(&'static str, &'static str), Room>,
    by_uid: HashMap<String, Place>,
    by_owner: HashMap<String, BTreeMap<String, Place>>,
    /// Uids of objects whose dependents are to be looked at, or who may go themselves.
    pub(super) dirty: BTreeSet<String>,
    lists: VecDeque<Rest>,
}

impl Store {
    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn room(&mut self, kind: Kind) -> &mut Room {
        self.rooms.entry(kind.id()).or_default()
    }

    /// The object, if it is there.
    pub fn find(&self, place: &Place) -> Option<Arc<Version>> {
        self.rooms.get(&place.kind.id())?.objects.get(&place.key).cloned()
    }

    /// The object.
    pub fn get(&self, place: &Place) -> Result<Arc<Version>, Refusal> {
        self.find(place).ok_or_else(|| Refusal::not_found(place.kind, place.name()))
    }

    /// The objects of a kind in a namespace, or in all of them.
    pub fn list(&self, kind: Kind, namespace: Option<&str>, selector: &Selector) -> Vec<Arc<Version>> {
        let Some(room) = self.rooms.get(&kind.id()) else { return Vec::new() };
        // A name and a namespace are the key: nothing else needs to be looked at.
        if let (Some(namespace), Some(name)) = (namespace, selector.name()) {
            let found = room.objects.get(&(namespace.to_string(), name.to_string()));
            return found.filter(|object| selector.takes(&object.value)).into_iter().cloned().collect();
        }
        let from = (namespace.unwrap_or_default().to_string(), String::new());
        let all = room.objects.range(from..).take_while(|((of, _), _)| namespace.is_none_or(|wanted| wanted == of));
        all.filter(|(_, object)| selector.takes(&object.value)).map(|(_, object)| object.clone()).collect()
    }

    /// The first piece of a list.
    pub fn first_page(&mut self, items: Vec<Arc<Version>>, limit: Option<usize>) -> Page {
        let revision = self.revision;
        self.page(revision, items, limit)
    }

    /// The next piece of a list, as it was when its first piece was read.
    pub fn next_page(&mut self, token: &str, limit: Option<usize>) -> Result<Page, Refusal> {
        let place = self.lists.iter().position(|rest| rest.token == token);
        let rest = place.and_then(|place| self.lists.remove(place)).ok_or_else(|| Refusal::too_old(0))?;
        Ok(self.page(rest.revision, rest.items, limit))
    }

    fn page(&mut self, revision: u64, mut items: Vec<Arc<Version>>, limit: Option<usize>) -> Page {
        let rest = limit.filter(|limit| *limit > 0 && *limit < items.len()).map(|limit| items.split_off(limit));
        let next = rest.map(|rest| {
            let (token, left) = (format!("{revision}-{}", rest.len()), rest.len());
            self.lists.push_back(Rest { token: token.clone(), revision, items: rest });
            if self.lists.len() > KEPT_LISTS {
                self.lists.pop_front();
            }
            (token, left)
        });
        Page { revision, items, next }
    }

    /// The changes of a kind after a revision, oldest first.
    pub fn changes(&self, kind: Kind, after: u64) -> Result<Vec<Change>, Refusal> {
        let Some(room) = self.rooms.get(&kind.id()) else { return Ok(Vec::new()) };
        if after < room.forgotten {
            return Err(Refusal::too_old(after));
        }
        let from = room.changes.partition_point(|change| change.revision <= after);
        Ok(room.changes.range(from..).cloned().collect())
    }

    /// Tells of every change of a kind.
    pub fn news(&mut self, kind: Kind) -> watch::Receiver<u64> {
        self.room(kind).newest.subscribe()
    }

    /// The revision that the next write makes.
    pub(super) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Puts a version in its place.
    pub(super) fn put(&mut self, place: &Place, version: Version) -> Arc<Version> {
        let version = Arc::new(version);
        let before = self.room(place.kind).objects.insert(place.key.clone(), version.clone());
        if let Some(before) = &before {
            self.forget_owners(before);
        }
        let uid = version.meta("uid").to_string();
        for (owner, _) in version.owners() {
            self.by_owner.entry(owner.to_string()).or_default().insert(uid.clone(), place.clone());
            if !self.by_uid.contains_key(owner) {
                self.dirty.insert(owner.to_string());
            }
        }
        if version.is_going() {
            self.dirty.insert(uid.clone());
        }
        self.by_uid.insert(uid, place.clone());
        self.tell(place.kind, Change { revision: version.revision, before, after: version.clone(), is_gone: false });
        version
    }

    /// Takes an object away; `last` is how it is told of.
    pub(super) fn take(&mut self, place: &Place, last: Version) -> Arc<Version> {
        let last = Arc::new(last);
        let Some(before) = self.room(place.kind).objects.remove(&place.key) else { return last };
        self.forget_owners(&before);
        let uid = before.meta("uid").to_string();
        self.by_uid.remove(&uid);
        // Its dependents go, and who waits for its end may go too.
        self.dirty.extend(before.owners().iter().map(|(owner, _)| (*owner).to_string()));
        self.dirty.insert(uid);
        self.tell(place.kind, Change { revision: last.revision, before: Some(before), after: last.clone(), is_gone: true });
        last
    }

    fn forget_owners(&mut self, version: &Version) {
        let uid = version.meta("uid");
        for (owner, _) in version.owners() {
            let Some(dependents) = self.by_owner.get_mut(owner) else { continue };
            dependents.remove(uid);
            if dependents.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }

    fn tell(&mut self, kind: Kind, change: Change) {
        let room = self.room(kind);
        let revision = change.revision;
        room.changes.push_back(change);
        if room.changes.len() > KEPT_CHANGES {
            room.forgotten = room.changes.pop_front().map_or(room.forgotten, |change| change.revision);
        }
        room.newest.send_replace(revision);
    }

    /// Where the object with this uid is.
    pub(super) fn place_of(&self, uid: &str) -> Option<Place> {
        self.by_uid.get(uid).cloned()
    }

    /// Where the objects are that this one owns.
    pub(super) fn dependents_of(&self, uid: &str) -> Vec<Place> {
        self.by_owner.get(uid).map(|all| all.values().cloned().collect()).unwrap_or_default()
    }

    /// True if a namespace is there, which the test made.
    pub(super) fn has_namespace(&self, name: &str) -> bool {
        let namespaces = self.rooms.get(&("", "namespaces"));
        namespaces.is_some_and(|room| room.objects.contains_key(&(String::new(), name.to_string())))
    }
}

/// The value without what the server writes at each change, for comparing.
pub fn is_same(old: &Value, new: &Value) -> bool {
    let bare = |value: &Value| {
        let mut value = value.clone();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.shift_remove("resourceVersion");
            metadata.shift_remove("managedFields");
        }
        value
    };
    bare(old) == bare(new)
}
