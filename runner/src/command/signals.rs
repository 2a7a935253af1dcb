//! SIGINT and SIGTERM: the first asks for an orderly end, the next one ends the process at once, unless something is to be done then too. What is
//! committed stays in any case.
//!
//! The process may be the first one of a container, for which the kernel has no default actions: only listening makes the signals work.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;
/// Exit code after SIGTERM.
pub const TERMINATED: u8 = 143;

type OnSignal = Box<dyn FnOnce(u8) + Send>;

/// The signals that the process has received.
pub struct Signals(Arc<State>);

#[derive(Default)]
struct State {
    /// Exit code of the newest signal, 0 without one.
    received: AtomicU8,
    /// What the next signals do.
    next: Mutex<VecDeque<OnSignal>>,
}

impl State {
    fn take(&self) -> Option<OnSignal> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Signals {
    /// Listens from now on. A signal that comes before [`Signals::on_first`] is remembered.
    pub fn listen() -> Result<Self, Failure> {
        let broken = |error| Failure::internal("the process cannot listen to signals").caused_by(error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
        let state = Arc::new(State::default());
        let told = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let code = tokio::select! {
                    _ = interrupt.recv() => INTERRUPTED,
                    _ = terminate.recv() => TERMINATED,
                };
                let earlier = told.received.swap(code, Ordering::SeqCst);
                match told.take() {
                    Some(on_signal) => on_signal(code),
                    None if earlier != 0 => std::process::exit(i32::from(code)),
                    None => {}
                }
            }
        });
        Ok(Self(state))
    }

    /// The exit code of the newest signal; 0 if there was none.
    pub fn received(&self) -> u8 {
        self.0.received.load(Ordering::SeqCst)
    }

    /// Waits for the first signal, or for none if it has come already; its exit code.
    pub async fn first(&self) -> u8 {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.on_first(move |code| _ = tell.send(code));
        // The sender lives as long as `self`.
        told.await.unwrap_or(TERMINATED)
    }

    /// Calls `tell` with the exit code at the first signal, at once if it has come already.
    pub fn on_first(&self, tell: impl FnOnce(u8) + Send + 'static) {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner).push_front(Box::new(tell));
        let code = self.received();
        if code != 0
            && let Some(tell) = self.0.take()
        {
            tell(code);
        }
    }

    /// Calls `tell` at the second signal, which then does not end the process: the third one does. To be said after [`Signals::on_first`].
    pub fn on_second(&self, tell: impl FnOnce(u8) + Send + 'static) {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner).push_back(Box::new(tell));
    }
}
