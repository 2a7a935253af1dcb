//! `floe sql`.

use super::{Outcome, not_supported};
use crate::{args::Sql, output::Terminal, settings::Environment};

pub(super) async fn sql(_: &Sql, _: &Environment, _: Terminal) -> Outcome {
    Err(not_supported("floe sql"))
}
