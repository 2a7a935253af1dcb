//! What must never be: two live pods that write one storage root.

use std::sync::{Mutex, PoisonError};

use floe_crds::request::UpdateRequest;

/// The live pods that may write, and what was seen that must never be.
#[derive(Default)]
pub struct Writers(Mutex<State>);

#[derive(Default)]
struct State {
    live: Vec<(String, String)>,
    violations: Vec<String>,
}

impl Writers {
    /// A pod exists from now on. Without a request it writes nothing.
    pub fn enter(&self, request: Option<&UpdateRequest>, namespace: &str, pod: &str) {
        let Some(storage) = request.and_then(|request| request.pipeline.spec.storage.as_ref()) else { return };
        let root = storage.uri.trim_end_matches('/').to_string();
        let mut state = self.lock();
        for (other, at) in state.live.clone() {
            if at == root {
                state.violations.push(format!("{namespace}/{pod} came while {other} lived: both write {root}"));
            }
        }
        state.live.push((pod.to_string(), root));
    }

    /// A pod's containers have ended.
    pub fn leave(&self, pod: &str) {
        self.lock().live.retain(|(name, _)| name != pod);
    }

    /// The pods that live.
    pub fn live(&self) -> Vec<String> {
        self.lock().live.iter().map(|(pod, _)| pod.clone()).collect()
    }

    /// Everything that must never be and was.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
