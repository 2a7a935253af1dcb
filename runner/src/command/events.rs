//! `floe events`.

use super::{Outcome, not_supported};
use crate::{args::Events, output::Terminal, settings::Environment};

pub(super) async fn events(_: &Events, _: &Environment, _: Terminal) -> Outcome {
    Err(not_supported("floe events"))
}
