//! For tests: what a flow does, without the places of its clauses.

use super::{AutoCdc, ClauseExpr, ColumnSelection, FlowKind};

/// The kind with all clauses as text.
pub fn kind_text(kind: &FlowKind) -> String {
    match kind {
        FlowKind::AutoCdc(cdc) => cdc_text(cdc),
        other => format!("{other:?}"),
    }
}

fn cdc_text(cdc: &AutoCdc) -> String {
    let text = |clause: &Option<ClauseExpr>| clause.as_ref().map(|clause| clause.text.clone());
    let columns = |selection: &Option<ColumnSelection>| {
        selection.as_ref().map(|selection| {
            let names: Vec<&str> = selection.named().iter().map(|column| column.name.as_str()).collect();
            (matches!(selection, ColumnSelection::Only(_)), names.join(", "))
        })
    };
    let keys: Vec<String> = cdc.keys.iter().map(|key| key.text.trim_matches('`').to_string()).collect();
    format!(
        "AutoCdc {keys:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {} {}",
        text(&cdc.sequence_by),
        text(&cdc.apply_as_delete_when),
        text(&cdc.apply_as_truncate_when),
        columns(&cdc.ignore_null_updates),
        columns(&cdc.columns),
        cdc.scd_type,
        columns(&cdc.track_history),
        cdc.snapshot,
        cdc.once
    )
}
