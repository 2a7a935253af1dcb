//! `floe init`.

use super::{Outcome, not_supported};
use crate::{args::Init, output::Terminal};

pub(super) fn init(_: &Init, _: Terminal) -> Outcome {
    Err(not_supported("floe init"))
}
