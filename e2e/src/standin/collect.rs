//! The garbage collector: what nobody owns any more goes, and who waits for what it owns goes after that. It runs beside the requests, as the real
//! one does, so a dependent lives a little longer than its owner.

use serde_json::{Value, json};

use super::{
    store::{Place, Store},
    write::{Deletion, FOREGROUND, ORPHAN},
};

impl Store {
    /// Looks at everything that may have to go; false if there was nothing.
    pub fn sweep(&mut self) -> bool {
        let dirty = std::mem::take(&mut self.dirty);
        for uid in &dirty {
            match self.place_of(uid) {
                None => self.collect_dependents(uid),
                Some(owner) => self.finish(uid, &owner),
            }
        }
        !dirty.is_empty()
    }

    /// The owner is no more.
    fn collect_dependents(&mut self, uid: &str) {
        for place in self.dependents_of(uid) {
            let Some(dependent) = self.find(&place) else { continue };
            let has_owner = dependent.owners().iter().any(|(owner, _)| self.place_of(owner).is_some());
            if has_owner {
                self.let_go(&place, uid);
            } else if !dependent.is_going() {
                let how = Deletion {
                    uid: Some(dependent.meta("uid").to_string()),
                    propagation: Some("Background".to_string()),
                    ..Deletion::default()
                };
                // Gone meanwhile is as good.
                let _gone = self.delete(&place, &how);
            }
        }
    }

    /// The owner waits for its dependents, or for their release.
    fn finish(&mut self, uid: &str, place: &Place) {
        let Some(owner) = self.find(place).filter(|owner| owner.is_going()) else { return };
        let finalizers = owner.finalizers();
        if finalizers.contains(&ORPHAN) {
            self.dependents_of(uid).iter().for_each(|dependent| self.let_go(dependent, uid));
            self.release(place, ORPHAN);
        } else if finalizers.contains(&FOREGROUND) && !self.is_waiting(uid) {
            self.release(place, FOREGROUND);
        }
    }

    /// Asks all dependents to go; true while one of them is there whom the owner waits for.
    fn is_waiting(&mut self, uid: &str) -> bool {
        for place in self.dependents_of(uid) {
            let Some(dependent) = self.find(&place).filter(|dependent| !dependent.is_going()) else { continue };
            let how = Deletion {
                uid: Some(dependent.meta("uid").to_string()),
                propagation: Some("Foreground".to_string()),
                ..Deletion::default()
            };
            let _gone = self.delete(&place, &how);
        }
        let left = self.dependents_of(uid);
        left.iter().filter_map(|place| self.find(place)).any(|dependent| dependent.owners().contains(&(uid, true)))
    }

    fn let_go(&mut self, place: &Place, owner: &str) {
        self.rewrite(place, |metadata| {
            if let Some(references) = metadata["ownerReferences"].as_array_mut() {
                references.retain(|reference| reference["uid"] != owner);
            }
        });
    }

    fn release(&mut self, place: &Place, finalizer: &str) {
        self.rewrite(place, |metadata| {
            if let Some(finalizers) = metadata["finalizers"].as_array_mut() {
                finalizers.retain(|known| *known != *finalizer);
            }
        });
    }

    fn rewrite(&mut self, place: &Place, change: impl FnOnce(&mut Value)) {
        let Some(old) = self.find(place) else { return };
        let mut new = old.value.clone();
        change(&mut new["metadata"]);
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.retain(|_, value| *value != json!([]));
        }
        self.settle(place, &old, new, old.managers.clone());
    }
}
