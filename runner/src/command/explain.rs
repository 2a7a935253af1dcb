//! `floe explain`.

use super::{Outcome, not_supported};
use crate::{args::Explain, output::Terminal, settings::Environment};

pub(super) async fn explain(_: &Explain, _: &Environment, _: Terminal) -> Outcome {
    Err(not_supported("floe explain"))
}
