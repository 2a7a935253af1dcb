//! New versions of tables: of those that pipelines here write their Table tells, of external ones the watcher.

use floe_crds::{
    job::{TableCondition, TableUpdate},
    job_run::TriggerType,
    run::detail,
    table::{Table, TableType},
    trigger::{
        names,
        tables::{TableTrigger, TableVersion},
        timers::Timers,
    },
};
use serde_json::{Map, Value, json};

use super::{Look, View};

/// The run that is owed for new versions.
pub fn look(view: View<'_>, trigger: &TableUpdate) -> Look {
    let names: Vec<&str> = trigger.tables.iter().map(|table| table.name.as_str()).collect();
    let found: Vec<Option<TableVersion>> = names.iter().map(|name| version(view, name)).collect();
    let message = message(view, &names);
    // A table that is not known yet begins where it is when it is.
    let has_baseline = found.iter().all(Option::is_some);
    if found.iter().all(Option::is_none) || (trigger.condition == TableCondition::AllUpdated && !has_baseline) {
        let mut look = view.unchanged();
        look.status.message = message;
        return look;
    }
    let versions: Vec<TableVersion> = found.into_iter().flatten().collect();
    let timers = Timers {
        min_time_between_triggers_seconds: trigger.min_time_between_triggers_seconds,
        wait_after_last_change_seconds: trigger.wait_after_last_change_seconds,
    };
    let rule = TableTrigger { condition: trigger.condition, timers };
    let found = rule.look(&view.before.cursor, &versions, view.last_fire(), view.is_suspended, view.observed.now);
    let (look, changed) = view.of_events(found, message);
    let Some(changed) = changed else { return look };
    let mut fire = view.run(TriggerType::Table, names::event_run(&view.observed.key.name, &view.trigger.name, &look.status.cursor));
    fire.trigger.detail.insert(detail::TABLES.to_string(), updated(view, &changed).to_string());
    look.fires(fire)
}

/// The newest version of a table as far as anybody knows. Of one that nobody can see at the moment it is the one that was acted on; `None` if there is
/// none either.
fn version(view: View<'_>, name: &str) -> Option<TableVersion> {
    seen(view, name).or_else(|| {
        let acted_on = view.before.cursor.get(name)?.split(' ').next()?.parse().ok()?;
        Some(TableVersion { name: name.to_string(), version: Some(acted_on), changed_at: None })
    })
}

fn seen(view: View<'_>, name: &str) -> Option<TableVersion> {
    let table = view.observed.tables.get(name)?.as_deref()?;
    if table.spec.table_type == TableType::External {
        let watch = view.observed.watch(&view.trigger.name)?;
        let version = watch.tables.get(name).copied();
        // A table that a look without error did not find is not there.
        let is_known = version.is_some() || (watch.since.is_some() && watch.error.is_none());
        return is_known.then(|| TableVersion { name: name.to_string(), version, changed_at: None });
    }
    let status = table.status.as_ref()?;
    let changed_at = status.last_commit_time.as_ref().map(|at| at.0);
    Some(TableVersion { name: name.to_string(), version: status.version, changed_at })
}

/// What keeps the trigger from seeing its tables.
fn message(view: View<'_>, names: &[&str]) -> Option<String> {
    let is_missing = |name: &&&str| view.observed.tables.get(**name).is_none_or(Option::is_none);
    if let Some(name) = names.iter().find(is_missing) {
        return Some(format!("Table {name} is not in namespace {}; create it, or correct tableUpdate.tables", view.observed.key.namespace));
    }
    view.observed.watch(&view.trigger.name)?.error.clone()
}

/// Full name → version and commit time, for references.
fn updated(view: View<'_>, changed: &[TableVersion]) -> Value {
    let full_name = |name: &str| {
        let table: Option<&Table> = view.observed.tables.get(name).and_then(Option::as_deref);
        table.and_then(|table| table.status.as_ref()?.full_name.clone()).unwrap_or_else(|| name.to_string())
    };
    let entry = |table: &TableVersion| {
        let commit_time = table.changed_at.map(|at| at.to_string());
        (full_name(&table.name), json!({"version": table.version.unwrap_or_default(), "commitTime": commit_time}))
    };
    Value::Object(changed.iter().map(entry).collect::<Map<String, Value>>())
}
