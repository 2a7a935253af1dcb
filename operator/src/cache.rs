//! What the API server holds of one kind, as far as this process has seen it: an indexed map that a watch and our own writes keep up to date.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use kube::{ResourceExt, runtime::watcher};

use crate::key::Key;

/// One object before and after something happened to it.
#[derive(Debug)]
pub struct Change<K> {
    /// Absent: it is new.
    pub before: Option<Arc<K>>,
    /// Absent: it is gone.
    pub after: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The newest that is known of the object.
    pub fn newest(&self) -> Option<&Arc<K>> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// The object, if it is new, gone, or `part` of it differs.
    pub fn differs<V: PartialEq>(&self, part: impl Fn(&K) -> V) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => part(before) != part(after),
            _ => true,
        }
    }
}

/// Deletions that are remembered. An answer is not later than its time limit, and no API server deletes as many objects of one kind meanwhile.
const MAX_GONE: usize = 4096;

/// All objects of one kind that the operator watches.
#[derive(Debug)]
pub struct Cache<K> {
    index: fn(&K) -> Vec<Key>,
    inner: RwLock<Inner<K>>,
    /// Watches that have not shown their first list.
    missing: AtomicUsize,
    /// Stored objects that cannot be parsed.
    invalid: AtomicUsize,
}

#[derive(Debug)]
struct Inner<K> {
    objects: BTreeMap<Key, Arc<K>>,
    by: BTreeMap<Key, BTreeSet<Key>>,
    /// What the lists in progress have shown, by scope.
    listed: BTreeMap<Scope, Listed>,
    /// Objects that the last list did not show, and that may be younger than it.
    doubted: BTreeSet<Key>,
    /// Scopes whose first list is complete.
    complete: BTreeSet<Scope>,
    unreadable: BTreeSet<Key>,
    /// Deleted objects with their last version: an answer to a write of before may come after the news of the deletion.
    gone: BTreeMap<Key, u64>,
    /// The keys of `gone`, oldest first.
    forgotten: VecDeque<Key>,
}

/// What a list has shown so far.
#[derive(Debug, Default)]
struct Listed {
    keys: BTreeSet<Key>,
    /// The highest version of an object in it: the list is at least as new.
    newest: u64,
}

/// What one watch sees: a namespace, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(pub Option<String>);

impl Scope {
    fn holds(&self, key: &Key) -> bool {
        self.0.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

impl<K: ResourceExt> Cache<K> {
    /// An empty cache that `watches` watches fill. `index` says under which other keys an object is found.
    pub fn new(watches: usize, index: fn(&K) -> Vec<Key>) -> Self {
        let inner = Inner {
            objects: BTreeMap::new(),
            by: BTreeMap::new(),
            listed: BTreeMap::new(),
            doubted: BTreeSet::new(),
            complete: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            gone: BTreeMap::new(),
            forgotten: VecDeque::new(),
        };
        Self { index, inner: RwLock::new(inner), missing: AtomicUsize::new(watches), invalid: AtomicUsize::new(0) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<K>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object `key`.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects that the index lists under `key`, by name.
    pub fn by(&self, key: &Key) -> Vec<Arc<K>> {
        let inner = self.read();
        let keys = inner.by.get(key).into_iter().flatten();
        keys.filter_map(|key| inner.objects.get(key)).cloned().collect()
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace whose names begin like this, by name.
    pub fn named(&self, namespace: &str, prefix: &str) -> Vec<Arc<K>> {
        let inner = self.read();
        let from = inner.objects.range(Key::new(namespace, prefix)..);
        let found = from.take_while(|(key, _)| key.namespace == namespace && key.name.starts_with(prefix));
        found.map(|(_, object)| object.clone()).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True once the first list of every watch is complete.
    pub fn is_synced(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// How many stored objects cannot be parsed.
    pub fn invalid(&self) -> usize {
        self.invalid.load(Ordering::Relaxed)
    }

    /// What the watch of `scope` saw. An object that cannot be parsed comes as its key alone.
    pub fn observe(&self, scope: &Scope, event: watcher::Event<Result<K, Key>>) -> Vec<Change<K>> {
        match event {
            watcher::Event::Init => {
                let mut inner = self.write();
                inner.listed.insert(scope.clone(), Listed::default());
                inner.unreadable.retain(|key| !scope.holds(key));
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                let key = object.as_ref().map_or_else(Clone::clone, Key::of);
                let version = object.as_ref().ok().and_then(version).unwrap_or_default();
                let mut inner = self.write();
                let listed = inner.listed.entry(scope.clone()).or_default();
                listed.newest = listed.newest.max(version);
                listed.keys.insert(key);
                drop(inner);
                self.put(object)
            }
            watcher::Event::InitDone => self.listed(scope),
            watcher::Event::Apply(object) => self.put(object),
            watcher::Event::Delete(Ok(object)) => self.forget(&object).into_iter().collect(),
            watcher::Event::Delete(Err(key)) => {
                self.mark(&key, false);
                self.remove(&key).into_iter().collect()
            }
        }
    }

    /// The list of `scope` is complete: what it did not show is gone. An object that was made after the list was read is not in it either; one that
    /// is younger than all that the list showed stays, until somebody asks for it (`doubted`).
    fn listed(&self, scope: &Scope) -> Vec<Change<K>> {
        let gone: Vec<Key> = {
            let mut inner = self.write();
            let listed = inner.listed.remove(scope).unwrap_or_default();
            if inner.complete.insert(scope.clone()) {
                self.missing.fetch_sub(1, Ordering::AcqRel);
            }
            let missing = inner.objects.iter().filter(|(key, _)| scope.holds(key) && !listed.keys.contains(key));
            let (doubted, gone): (Vec<_>, Vec<_>) = missing.partition(|(_, object)| is_after(object.as_ref(), listed.newest));
            let keys = |objects: Vec<(&Key, &Arc<K>)>| objects.into_iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
            let (doubted, gone) = (keys(doubted), keys(gone));
            inner.doubted.retain(|key| !scope.holds(key));
            inner.doubted.extend(doubted);
            gone
        };
        gone.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Objects within `scope` of which it is not known whether they are there, by namespace.
    pub fn doubted(&self, scope: &Scope) -> BTreeMap<String, Vec<Arc<K>>> {
        let inner = self.read();
        let mut doubted = BTreeMap::<String, Vec<Arc<K>>>::new();
        for (key, object) in inner.doubted.iter().filter(|key| scope.holds(key)).filter_map(|key| Some((key, inner.objects.get(key)?))) {
            doubted.entry(key.namespace.clone()).or_default().push(object.clone());
        }
        doubted
    }

    /// What a list at `version` says of objects: those that it shows, by uid, are there; those that it would show are gone; of younger ones it says nothing.
    pub fn settle(&self, objects: &[Arc<K>], shown: &BTreeSet<String>, version: u64) -> Vec<Change<K>> {
        let mut changes = Vec::new();
        for object in objects {
            let is_there = object.uid().is_some_and(|uid| shown.contains(&uid));
            if is_there {
                self.write().doubted.remove(&Key::of(object.as_ref()));
            } else if !is_after(object.as_ref(), version) {
                changes.extend(self.forget(object));
            }
        }
        changes
    }

    fn put(&self, object: Result<K, Key>) -> Vec<Change<K>> {
        match object {
            Ok(object) => {
                self.mark(&Key::of(&object), false);
                self.note(object).into_iter().collect()
            }
            Err(key) => {
                self.mark(&key, true);
                self.remove(&key).into_iter().collect()
            }
        }
    }

    fn mark(&self, key: &Key, unreadable: bool) {
        let mut inner = self.write();
        if unreadable {
            inner.unreadable.insert(key.clone());
        } else {
            inner.unreadable.remove(key);
        }
        self.invalid.store(inner.unreadable.len(), Ordering::Relaxed);
    }

    /// Takes `object` in, as the watch or the answer to a write showed it, unless something newer is known.
    pub fn note(&self, object: K) -> Option<Change<K>> {
        let key = Key::of(&object);
        let mut inner = self.write();
        if inner.objects.get(&key).is_some_and(|known| !is_newer(&object, known.as_ref())) || inner.is_gone(&key, &object) {
            return None;
        }
        let object = Arc::new(object);
        let before = inner.objects.insert(key.clone(), object.clone());
        inner.doubted.remove(&key);
        if let Some(before) = &before {
            inner.unlist(&key, &(self.index)(before));
        }
        for place in (self.index)(&object) {
            inner.by.entry(place).or_default().insert(key.clone());
        }
        Some(Change { before, after: Some(object) })
    }

    /// `object` from a list that may be behind, or what has been seen of it since; `None` if it is gone since.
    pub fn newest(&self, object: K) -> Option<Arc<K>> {
        let key = Key::of(&object);
        let inner = self.read();
        if inner.is_gone(&key, &object) {
            return None;
        }
        let known = inner.objects.get(&key).filter(|known| !is_newer(&object, known.as_ref()));
        Some(known.cloned().unwrap_or_else(|| Arc::new(object)))
    }

    /// Leaves out a part of the object `key` that nobody reads any more. It stays what it is: its version and its places do not change.
    pub fn thin(&self, key: &Key, leave_out: impl FnOnce(&mut K))
    where
        K: Clone,
    {
        if let Some(object) = self.write().objects.get_mut(key) {
            leave_out(Arc::make_mut(object));
        }
    }

    /// Takes `object` out, as the watch or the answer to a delete showed it, unless another object has taken its name.
    pub fn forget(&self, object: &K) -> Option<Change<K>> {
        let key = Key::of(object);
        self.write().bury(&key, object);
        let known = self.get(&key)?;
        if known.uid() != object.uid() {
            return None;
        }
        self.remove(&key)
    }

    fn remove(&self, key: &Key) -> Option<Change<K>> {
        let mut inner = self.write();
        inner.doubted.remove(key);
        let before = inner.objects.remove(key)?;
        inner.unlist(key, &(self.index)(&before));
        Some(Change { before: Some(before), after: None })
    }
}

impl<K: ResourceExt> Inner<K> {
    fn bury(&mut self, key: &Key, object: &K) {
        let Some(version) = version(object) else { return };
        if self.gone.insert(key.clone(), version).is_none() {
            self.forgotten.push_back(key.clone());
        }
        if self.forgotten.len() > MAX_GONE
            && let Some(oldest) = self.forgotten.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// True if `object` is what was there before the deletion.
    fn is_gone(&self, key: &Key, object: &K) -> bool {
        self.gone.get(key).is_some_and(|gone| version(object).is_some_and(|version| version <= *gone))
    }
}

impl<K> Inner<K> {
    fn unlist(&mut self, key: &Key, places: &[Key]) {
        for place in places {
            if let Some(keys) = self.by.get_mut(place) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by.remove(place);
                }
            }
        }
    }
}

/// Resource versions are counters of one etcd; what cannot be read as a number counts as newer.
fn is_newer<K: ResourceExt>(object: &K, known: &K) -> bool {
    match (version(object), version(known)) {
        (Some(new), Some(old)) => new > old,
        _ => true,
    }
}

/// True if `object` is younger than a list that is at least as new as `version`.
fn is_after(object: &impl ResourceExt, seen: u64) -> bool {
    version(object).is_some_and(|version| version > seen)
}

fn version(object: &impl ResourceExt) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use kube::runtime::watcher::Event;

    use super::*;

    const ALL: Scope = Scope(None);

    #[test]
    fn what_is_left_out_changes_nothing_else() {
        let cache = Cache::new(1, |object: &ConfigMap| vec![Key::new("data", object.labels().get("owner").cloned().unwrap_or_default())]);
        cache.note(config_map("a", "5", "x"));
        let read_before = cache.get(&Key::new("data", "a")).unwrap();
        cache.thin(&Key::new("data", "a"), |object| object.metadata.uid = None);
        assert_eq!(cache.get(&Key::new("data", "a")).unwrap().metadata.uid, None);
        assert!(read_before.metadata.uid.is_some(), "who has it already keeps it");
        assert!(cache.note(config_map("a", "5", "x")).is_none(), "the same version does not bring it back");
        assert!(cache.note(config_map("a", "6", "x")).is_some());
    }

    fn config_map(name: &str, version: &str, owner: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            namespace: Some("data".to_string()),
            name: Some(name.to_string()),
            uid: Some(name.to_string()),
            resource_version: Some(version.to_string()),
            labels: Some([("owner".to_string(), owner.to_string())].into()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn by_owner(object: &ConfigMap) -> Vec<Key> {
        object.labels().get("owner").map(|owner| Key::new("data", owner)).into_iter().collect()
    }

    fn names(found: &[Arc<ConfigMap>]) -> Vec<String> {
        found.iter().map(|object| object.name_any()).collect()
    }

    #[test]
    fn the_index_follows_the_objects_and_older_views_are_ignored() {
        let cache = Cache::new(1, by_owner);
        cache.observe(&ALL, Event::Apply(Ok(config_map("a", "5", "x"))));
        cache.observe(&ALL, Event::Apply(Ok(config_map("b", "6", "x"))));
        assert_eq!(names(&cache.by(&Key::new("data", "x"))), ["a", "b"]);
        assert!(cache.note(config_map("a", "9", "y")).is_some(), "our own write");
        assert!(cache.observe(&ALL, Event::Apply(Ok(config_map("a", "7", "x")))).is_empty(), "the watch is behind our write");
        assert_eq!(names(&cache.by(&Key::new("data", "y"))), ["a"]);
        assert_eq!(cache.observe(&ALL, Event::Delete(Ok(config_map("a", "10", "y")))).len(), 1);
        assert!(cache.by(&Key::new("data", "y")).is_empty());
    }

    #[test]
    fn the_late_answer_to_a_write_does_not_bring_a_deleted_object_back() {
        let cache = Cache::new(1, by_owner);
        cache.observe(&ALL, Event::Apply(Ok(config_map("a", "5", "x"))));
        cache.observe(&ALL, Event::Delete(Ok(config_map("a", "7", "x"))));
        assert!(cache.note(config_map("a", "6", "x")).is_none() && cache.is_empty(), "written before it was deleted");
        assert!(cache.note(config_map("a", "8", "x")).is_some(), "made again");
        cache.observe(&ALL, Event::Delete(Ok(config_map("b", "9", "x"))));
        assert!(cache.note(config_map("b", "8", "x")).is_none(), "nor one that only the answer would have shown");
        for number in 0..MAX_GONE * 2 {
            cache.observe(&ALL, Event::Delete(Ok(config_map(&format!("c{number}"), "10", "x"))));
        }
        let inner = cache.read();
        assert_eq!((inner.gone.len(), inner.forgotten.len()), (MAX_GONE, MAX_GONE));
    }

    #[test]
    fn what_was_seen_since_a_list_counts_more_than_the_list() {
        let cache = Cache::new(1, by_owner);
        let version = |seen: Option<Arc<ConfigMap>>| seen.and_then(|object| object.resource_version());
        cache.observe(&ALL, Event::Apply(Ok(config_map("a", "7", "x"))));
        assert_eq!(version(cache.newest(config_map("a", "5", "x"))).as_deref(), Some("7"), "the list is behind");
        assert_eq!(version(cache.newest(config_map("a", "9", "x"))).as_deref(), Some("9"), "the watch is behind");
        assert_eq!(version(cache.newest(config_map("b", "3", "x"))).as_deref(), Some("3"), "no watch has shown it");
        cache.observe(&ALL, Event::Delete(Ok(config_map("a", "10", "x"))));
        assert!(cache.newest(config_map("a", "9", "x")).is_none(), "it is gone");
        assert!(cache.newest(config_map("a", "11", "x")).is_some(), "it was made again");
    }

    #[test]
    fn a_new_list_removes_what_it_does_not_show() {
        let cache = Cache::new(1, by_owner);
        cache.observe(&ALL, Event::Apply(Ok(config_map("a", "1", "x"))));
        cache.observe(&ALL, Event::Apply(Ok(config_map("b", "2", "x"))));
        assert!(!cache.is_synced());
        cache.observe(&ALL, Event::Init);
        cache.observe(&ALL, Event::InitApply(Ok(config_map("b", "2", "x"))));
        let changes = cache.observe(&ALL, Event::InitDone);
        assert_eq!(changes.len(), 1);
        assert!(changes[0].after.is_none() && changes[0].newest().unwrap().name_any() == "a");
        assert!(cache.is_synced() && cache.len() == 1);
    }

    #[test]
    fn what_was_made_after_a_list_was_read_stays() {
        let cache = Cache::new(1, by_owner);
        let list = |shown: &[(&str, &str)]| {
            cache.observe(&ALL, Event::Init);
            for (name, version) in shown {
                cache.observe(&ALL, Event::InitApply(Ok(config_map(name, version, "x"))));
            }
            // The answer to our own write comes before the list is complete.
            cache.note(config_map("new", "9", "x"));
            cache.observe(&ALL, Event::InitDone).len()
        };
        let doubted = || cache.doubted(&ALL).into_values().flatten().collect::<Vec<_>>();
        let left = || names(&cache.all());
        assert_eq!((list(&[("a", "7")]), left(), names(&doubted())), (0, vec!["a".into(), "new".into()], vec!["new".into()]));
        assert!(cache.settle(&doubted(), &BTreeSet::new(), 8).is_empty(), "asked again, the answer was as old");
        assert!(cache.settle(&doubted(), &["new".to_string()].into(), 10).is_empty());
        assert_eq!((left(), doubted().len()), (vec!["a".into(), "new".into()], 0), "it is there");
        assert_eq!((list(&[("a", "7")]), doubted().len()), (0, 1));
        assert_eq!(
            (cache.settle(&doubted(), &BTreeSet::new(), 9).len(), left(), doubted().len()),
            (1, vec!["a".to_string()], 0),
            "it is gone"
        );
        cache.note(config_map("new", "11", "x"));
        assert_eq!((list(&[("a", "12")]), left()), (1, vec!["a".to_string()]), "a list that is newer would have shown it");
    }

    #[test]
    fn doubts_end_with_the_next_news() {
        let cache = Cache::new(1, by_owner);
        let in_doubt = |version: &str| {
            cache.note(config_map("new", version, "x"));
            cache.observe(&ALL, Event::Init);
            cache.observe(&ALL, Event::InitDone);
            assert_eq!(cache.doubted(&ALL).len(), 1);
            assert!(cache.doubted(&Scope(Some("other".to_string()))).is_empty());
        };
        in_doubt("5");
        cache.observe(&ALL, Event::Apply(Ok(config_map("new", "6", "x"))));
        assert!(cache.doubted(&ALL).is_empty());
        in_doubt("7");
        cache.observe(&ALL, Event::Delete(Ok(config_map("new", "8", "x"))));
        assert!(cache.doubted(&ALL).is_empty() && cache.is_empty());
    }

    #[test]
    fn objects_are_found_by_the_beginning_of_their_names() {
        let cache = Cache::new(1, by_owner);
        for name in ["a", "ab", "ab-c", "b"] {
            cache.note(config_map(name, "1", "x"));
        }
        assert_eq!(names(&cache.named("data", "ab")), ["ab", "ab-c"]);
        assert!(cache.named("other", "").is_empty() && cache.named("data", "").len() == 4);
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_others_alone() {
        let cache = Cache::new(2, by_owner);
        let (data, other) = (Scope(Some("data".to_string())), Scope(Some("other".to_string())));
        cache.observe(&data, Event::Apply(Ok(config_map("a", "1", "x"))));
        cache.observe(&other, Event::Init);
        assert!(cache.observe(&other, Event::InitDone).is_empty());
        assert!(!cache.is_synced(), "one of two");
        cache.observe(&data, Event::Init);
        cache.observe(&data, Event::InitApply(Ok(config_map("b", "2", "x"))));
        assert_eq!(cache.observe(&data, Event::InitDone).len(), 1);
        assert!(cache.is_synced());
    }

    #[test]
    fn unreadable_objects_are_counted_and_healed() {
        let cache = Cache::new(1, by_owner);
        cache.observe(&ALL, Event::Apply(Ok(config_map("a", "1", "x"))));
        cache.observe(&ALL, Event::Apply(Err(Key::new("data", "a"))));
        assert_eq!((cache.invalid(), cache.len()), (1, 0));
        cache.observe(&ALL, Event::Apply(Ok(config_map("a", "3", "x"))));
        assert_eq!((cache.invalid(), cache.len()), (0, 1));
    }
}
