//! One fault as a sentence: `Fault::writes().after(3).kills()`, `Fault::on(Verb::Create, "jobs").once().answers(409)`.

use std::time::Duration;

use super::call::{Call, Verb};

/// Which requests meet what.
#[derive(Clone, Debug)]
pub struct Fault {
    whom: Whom,
    skips: usize,
    one_in: usize,
    seen: usize,
    left: usize,
    spares_rest: bool,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
enum Whom {
    All,
    Writes,
    Calls(Verb, String),
    Like(Box<Call>),
    Reads(String),
    Events(String),
}

/// What happens to a request or to a watch event.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Not yet said: nothing.
    Nothing,
    /// It is done, and the process is killed before it hears of it.
    Kill,
    /// It is not done; this is the answer.
    Answer { code: u16, retry_after: Option<u32> },
    /// It is done, and the answer is this one all the same.
    AnswerAfter { code: u16 },
    /// It is done, and the connection breaks.
    ResetAfter,
    /// It is not done, and the connection breaks.
    Reset,
    /// It is done when this time is over.
    Wait(Duration),
    /// It is done, and the answer comes when this time is over.
    AnswerLate(Duration),
    /// The answer is what was true so many writes ago.
    Stale { writes: usize },
    /// The watch event is lost.
    Drop,
}

impl Fault {
    fn of(whom: Whom) -> Self {
        Self { whom, skips: 0, one_in: 1, seen: 0, left: usize::MAX, spares_rest: false, what: What::Nothing }
    }

    /// Meets every request.
    pub fn all() -> Self {
        Self::of(Whom::All)
    }

    /// Meets requests that change something.
    pub fn writes() -> Self {
        Self::of(Whom::Writes)
    }

    /// Meets one kind of request on one kind of object.
    pub fn on(verb: Verb, resource: &str) -> Self {
        Self::of(Whom::Calls(verb, resource.to_string()))
    }

    /// Meets requests that do the same as `call`, whatever the object's name.
    pub fn like(call: &Call) -> Self {
        Self::of(Whom::Like(Box::new(call.clone())))
    }

    /// Meets reads of one kind of object.
    pub fn reads(resource: &str) -> Self {
        Self::of(Whom::Reads(resource.to_string()))
    }

    /// Meets watch events of one kind of object.
    pub fn events(resource: &str) -> Self {
        Self::of(Whom::Events(resource.to_string()))
    }

    /// The first `count` are spared.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.skips = count;
        self
    }

    /// One in `count` is met, as by dice that fall the same in each run. Each `count`-th would meet the same step of a sequence for ever.
    #[must_use]
    pub fn one_in(mut self, count: usize) -> Self {
        self.one_in = count.max(1);
        self
    }

    /// Only one is met.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Only so many are met.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.left = count;
        self
    }

    /// None is met while everything is at rest ([`super::Proxy::set_at_rest`]).
    #[must_use]
    pub fn while_in_motion(mut self) -> Self {
        self.spares_rest = true;
        self
    }

    /// The request is done, and the operator is killed before it hears of it. Once.
    #[must_use]
    pub fn kills(self) -> Self {
        self.once().does(What::Kill)
    }

    /// The request is refused.
    #[must_use]
    pub fn answers(self, code: u16) -> Self {
        self.does(What::Answer { code, retry_after: None })
    }

    /// The request is refused with 429 and the time after which to come back.
    #[must_use]
    pub fn throttles(self, retry_after: u32) -> Self {
        self.does(What::Answer { code: 429, retry_after: Some(retry_after) })
    }

    /// The request is done, but the answer says that it failed.
    #[must_use]
    pub fn is_done_but_answers(self, code: u16) -> Self {
        self.does(What::AnswerAfter { code })
    }

    /// The request is done, but the connection breaks.
    #[must_use]
    pub fn is_done_but_resets(self) -> Self {
        self.does(What::ResetAfter)
    }

    /// The request is done at once, but the answer takes this time.
    #[must_use]
    pub fn is_done_but_answered_after(self, time: Duration) -> Self {
        self.does(What::AnswerLate(time))
    }

    /// The connection breaks.
    #[must_use]
    pub fn resets(self) -> Self {
        self.does(What::Reset)
    }

    /// The request or the watch event waits; it is done afterwards even if nobody waits for the answer any more.
    #[must_use]
    pub fn waits(self, time: Duration) -> Self {
        self.does(What::Wait(time))
    }

    /// The answer is what was true `writes` of the operator's own writes ago.
    #[must_use]
    pub fn is_stale_by(self, writes: usize) -> Self {
        self.does(What::Stale { writes })
    }

    /// The watch event is lost.
    #[must_use]
    pub fn is_lost(self) -> Self {
        self.does(What::Drop)
    }

    fn does(mut self, what: What) -> Self {
        self.what = what;
        self
    }

    /// Whether `call` meets this fault now.
    pub(super) fn meets(&mut self, call: &Call, at_rest: bool) -> bool {
        let fits = match &self.whom {
            Whom::All => true,
            Whom::Writes => call.is_write(),
            Whom::Calls(verb, resource) => call.verb == *verb && call.resource == *resource,
            Whom::Like(other) => call.is_like(other),
            Whom::Reads(resource) => matches!(call.verb, Verb::Get | Verb::List) && call.resource == *resource,
            Whom::Events(_) => false,
        };
        fits && !(at_rest && self.spares_rest) && self.counts()
    }

    /// Whether a watch event of `resource` meets this fault now.
    pub(super) fn meets_event(&mut self, resource: &str) -> bool {
        matches!(&self.whom, Whom::Events(wanted) if wanted == resource) && self.counts()
    }

    fn counts(&mut self) -> bool {
        if self.skips > 0 {
            self.skips -= 1;
            return false;
        }
        self.seen += 1;
        let meets = self.left > 0 && dice(self.seen).is_multiple_of(self.one_in);
        self.left -= usize::from(meets);
        meets
    }
}

/// A number that looks random and is a function of `throw` (the finalizer of splitmix64).
fn dice(throw: usize) -> usize {
    let mut bits = (throw as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as usize
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_fault_meets_the_calls_that_it_names_and_as_many_as_it_says() {
        let create = Call::of(&Method::POST, &"/apis/batch/v1/namespaces/a/jobs".parse().unwrap(), b"");
        let list = Call::of(&Method::GET, &"/api/v1/namespaces/a/pods".parse().unwrap(), b"");
        let mut fault = Fault::on(Verb::Create, "jobs").after(1).times(2).answers(500);
        assert!(!fault.meets(&list, false));
        let met: Vec<bool> = (0..5).map(|_| fault.meets(&create, false)).collect();
        assert_eq!(met, [false, true, true, false, false]);
        let mut dice = Fault::writes().one_in(3).answers(500);
        let met = (0..3000).filter(|_| dice.meets(&create, false)).count();
        assert!((900..1100).contains(&met), "{met}");
        assert!(Fault::reads("pods").meets(&list, false) && !Fault::writes().meets(&list, false) && Fault::writes().meets(&create, false));
        let mut moving = Fault::writes().while_in_motion().answers(500);
        assert!(!moving.meets(&create, true) && moving.meets(&create, false));
        assert!(Fault::events("pods").meets_event("pods") && !Fault::events("pods").meets_event("jobs"));
    }
}
