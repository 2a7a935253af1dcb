//! `floe events`: what the event log says, filtered, in the order of time; with `-f` also what comes.

use std::{fmt::Write, sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use datafusion::{
    catalog::TableProvider,
    datasource::provider_as_source,
    functions::core::expr_fn::get_field,
    logical_expr::{Expr, LogicalPlanBuilder, SortExpr, col, lit},
    physical_plan::execute_stream,
    scalar::ScalarValue,
};
use floe_crds::state::EventLevel;
use floe_graph::source_options::DeltaStreamOptions;
use futures::StreamExt;
use serde_json::Value;

use super::Outcome;
use crate::{
    args::{EventFilter, Events},
    commit::table,
    engine_failure::engine_error,
    event_log::schema,
    execute::view_expectation::ExpectPlanner,
    failure::Failure,
    output::{Paint, Terminal, live::level_word, rows},
    project::Project,
    session::{self, Session, SessionLimits},
    settings::{Environment, Settings},
    source::{DeltaSource, ReadCounters},
    storage::{Location, layout},
    update,
};

/// How often `-f` looks for new events.
const POLL: Duration = Duration::from_millis(500);

pub(super) async fn events(events: &Events, environment: &Environment, terminal: &Terminal) -> Outcome {
    let settings = Settings::resolve(&events.project, environment);
    let since = events.filter.since.as_deref().map(|text| instant(text, Utc::now())).transpose()?;
    let reader = Reader::open(&super::load(&settings, terminal)?, &settings)?;
    let Some(mut version) = table::newest_version(&reader.location, None).await? else {
        terminal.note("there are no events yet: no update has run on this storage");
        if !events.follow {
            return Ok(0);
        }
        reader.wait_for_first().await?;
        return Box::pin(reader.follow(-1, &Filter::new(&events.filter, None, since), terminal)).await;
    };
    let log = reader.at_version(version).await?;
    let update = match events.filter.update.as_str() {
        "all" => None,
        "latest" => reader.latest_update(&log).await?,
        id => Some(id.to_string()),
    };
    let filter = Filter::new(&events.filter, update, since);
    let printed = Box::pin(reader.print(log, &filter, terminal)).await?;
    if !events.follow {
        if printed == 0 {
            terminal.note(&filter.nothing());
        }
        return Ok(0);
    }
    // Who follows the newest update wants to see the next one too.
    let filter = Filter { update: filter.update.filter(|_| events.filter.update != "latest"), ..filter };
    version = version.max(-1);
    Box::pin(reader.follow(version, &filter, terminal)).await
}

/// The event log of a storage and an engine to read it.
struct Reader {
    location: Location,
    session: Session,
}

/// Which events are printed.
struct Filter {
    update: Option<String>,
    types: Vec<String>,
    levels: Vec<&'static str>,
    dataset: Option<String>,
    since: Option<DateTime<Utc>>,
}

impl Filter {
    fn new(filter: &EventFilter, update: Option<String>, since: Option<DateTime<Utc>>) -> Self {
        Self {
            update,
            types: filter.types.iter().map(|event_type| event_type.trim().to_lowercase()).collect(),
            levels: EventLevel::ALL.iter().filter(|level| **level >= filter.level).map(|level| level.as_str()).collect(),
            dataset: filter.dataset.as_ref().map(|name| name.to_lowercase()),
            since,
        }
    }

    /// The part that the engine checks.
    fn predicates(&self) -> Vec<Expr> {
        let any_of = |column: Expr, values: Vec<String>| column.in_list(values.into_iter().map(lit).collect(), false);
        let mut predicates = vec![any_of(col("level"), self.levels.iter().map(ToString::to_string).collect())];
        if !self.types.is_empty() {
            predicates.push(any_of(col("event_type"), self.types.clone()));
        }
        if let Some(update) = &self.update {
            predicates.push(get_field(col("origin"), "update_id").eq(lit(update.as_str())));
        }
        if let Some(since) = self.since {
            let instant = ScalarValue::TimestampMicrosecond(Some(since.timestamp_micros()), Some("UTC".into()));
            predicates.push(col("timestamp").gt_eq(lit(instant)));
        }
        predicates
    }

    /// What is said if no event fits.
    fn nothing(&self) -> String {
        let mut asked = Vec::new();
        asked.extend(self.update.as_ref().map(|update| format!("of the update {update}")));
        asked.extend((!self.types.is_empty()).then(|| format!("of the types {}", self.types.join(", "))));
        asked.extend(self.dataset.as_ref().map(|dataset| format!("about {dataset}")));
        asked.extend(self.levels.first().map(|level| format!("of level {level} or above")));
        asked.extend(self.since.map(|since| format!("since {}", since.to_rfc3339_opts(SecondsFormat::Secs, true))));
        let wider = if self.update.is_some() { "; --update all looks at all updates" } else { "" };
        format!("no event {}{wider}", asked.join(", "))
    }

    /// True if the event is about the wanted dataset: its full name, or the last parts of it.
    fn is_about(&self, event: &Value) -> bool {
        let Some(wanted) = &self.dataset else { return true };
        let name = event["origin"]["dataset_name"].as_str().unwrap_or_default().to_lowercase();
        name == *wanted || name.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl Reader {
    fn open(project: &Project, settings: &Settings) -> Result<Self, Failure> {
        let storage = update::open_storage(settings, project)?;
        let limits = SessionLimits { memory_bytes: settings.memory_bytes, spill_directory: None, parallelism: settings.parallelism };
        Ok(Self { location: storage.at(layout::EVENT_LOG), session: Session::new(&limits)? })
    }

    fn source(&self) -> DeltaSource {
        DeltaSource::new("event_log", self.location.clone())
    }

    async fn at_version(&self, version: i64) -> Result<Arc<dyn TableProvider>, Failure> {
        self.source().at_version(version, schema::schema(), &Arc::new(ReadCounters::default())).await
    }

    /// The update of the newest event.
    async fn latest_update(&self, log: &Arc<dyn TableProvider>) -> Result<Option<String>, Failure> {
        let plan = LogicalPlanBuilder::scan("event_log", provider_as_source(Arc::clone(log)), None)
            .and_then(|plan| plan.project(vec![col("timestamp"), get_field(col("origin"), "update_id").alias("update_id")]))
            .and_then(|plan| plan.sort_with_limit(vec![SortExpr::new(col("timestamp"), false, false)], Some(1)))
            .map_err(engine_error)?;
        let rows = self.rows(plan).await?;
        Ok(rows.first().and_then(|row| row["update_id"].as_str()).map(str::to_string))
    }

    /// The matching events of `log`, oldest first.
    async fn matching(&self, log: Arc<dyn TableProvider>, filter: &Filter) -> Result<Vec<Value>, Failure> {
        let order = [col("timestamp"), get_field(get_field(col("sequence"), "data_plane_id"), "seq_no")];
        let order = order.map(|column| SortExpr::new(column, true, false)).to_vec();
        let scan = LogicalPlanBuilder::scan("event_log", provider_as_source(log), None);
        let filtered = filter.predicates().into_iter().fold(scan, |plan, predicate| plan.and_then(|plan| plan.filter(predicate)));
        let plan = filtered.and_then(|plan| plan.sort(order)).map_err(engine_error)?;
        let mut found = self.rows(plan).await?;
        found.retain(|event| filter.is_about(event));
        Ok(found)
    }

    /// Prints the matching events of `log`; gives how many there were.
    async fn print(&self, log: Arc<dyn TableProvider>, filter: &Filter, terminal: &Terminal) -> Result<usize, Failure> {
        let found = self.matching(log, filter).await?;
        let count = found.len();
        for event in found {
            print_event(event, terminal);
        }
        Ok(count)
    }

    async fn rows(&self, plan: LogicalPlanBuilder) -> Result<Vec<Value>, Failure> {
        let plan = plan.build().map_err(engine_error)?;
        let state = self.session.state(Arc::new(ExpectPlanner::default()));
        let (physical, context) = session::physical_plan(&state, &plan).await.map_err(engine_error)?;
        let mut stream = execute_stream(physical, context).map_err(engine_error)?;
        let mut found = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(engine_error)?;
            found.extend(rows::json_objects(&batch).map_err(|error| Failure::internal(format!("an event cannot be printed: {error}")))?);
        }
        Ok(found)
    }

    async fn wait_for_first(&self) -> Result<(), Failure> {
        while table::newest_version(&self.location, None).await?.is_none() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Prints what is appended after `version`, until the process is ended.
    async fn follow(&self, mut version: i64, filter: &Filter, terminal: &Terminal) -> Outcome {
        loop {
            let newest = table::newest_version(&self.location, Some(version.max(0))).await?.unwrap_or(version);
            if newest > version {
                let from = (version >= 0).then_some(version);
                let counters = Arc::new(ReadCounters::default());
                let log = self.source().appended(&DeltaStreamOptions::default(), (from, newest), schema::schema(), &counters).await?;
                Box::pin(self.print(log, filter, terminal)).await?;
                version = newest;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn print_event(mut event: Value, terminal: &Terminal) {
    if let Some(details) = event["details"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        event["details"] = details;
    }
    let time = event["timestamp"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    if let Some(time) = time {
        // As `floe run --output json` prints it.
        event["timestamp"] = time.to_rfc3339_opts(SecondsFormat::Micros, true).into();
    }
    if terminal.is_json() {
        return terminal.out(&event.to_string());
    }
    let color = terminal.color_out;
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let time = time.map_or_else(String::new, |time| time.to_rfc3339_opts(SecondsFormat::Millis, true).replace('T', " "));
    let level = level_word(EventLevel::parse(text("level")).unwrap_or(EventLevel::Info), color);
    let mut line = format!("{} {level} {}", Paint::Dim.on(&time, color), text("message"));
    let numbers = numbers(&event["details"]["flow_progress"]);
    if !numbers.is_empty() {
        line.push_str(&Paint::Dim.on(&format!(" {}", numbers.join(", ")), color));
    }
    for cause in event["error"]["exceptions"].as_array().into_iter().flatten() {
        let class = cause["class_name"].as_str().map(|class| format!("[{class}] ")).unwrap_or_default();
        let message = cause["message"].as_str().unwrap_or_default();
        // The sentence often says it already.
        if !text("message").contains(message) {
            let _ = write!(line, "\n    {class}{}", message.replace('\n', "\n    "));
        }
    }
    if terminal.verbose > 0 {
        line.push_str(&Paint::Dim.on(&format!("\n    {}", event["details"]), color));
    }
    terminal.out(&line);
}

/// The numbers that people want to see behind the message of a flow.
fn numbers(progress: &Value) -> Vec<String> {
    let names = [
        ("/metrics/num_output_rows", "written"),
        ("/metrics/num_upserted_rows", "upserted"),
        ("/metrics/num_deleted_rows", "deleted"),
        ("/metrics/num_tied_events", "tied"),
        ("/metrics/num_late_events", "late"),
        ("/metrics/num_rows_dropped_by_watermark", "late"),
        ("/data_quality/dropped_records", "dropped"),
        ("/data_quality/quarantined_records", "quarantined"),
        ("/metrics/num_corrupt_records", "corrupt"),
    ];
    let shown = |(pointer, name): (&str, &str)| {
        let number = progress.pointer(pointer)?.as_u64()?;
        (number > 0 || name == "written").then(|| format!("{number} {name}"))
    };
    names.into_iter().filter_map(shown).collect()
}

/// `30m`, `2h`, `7d` before `now`, an instant, or the start of a day (UTC).
fn instant(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let wrong = || {
        Failure::user("INVALID_INSTANT", format!("--since {text:?} is no instant"))
            .help("write an age (30s, 30m, 2h, 7d), a day (2026-01-31) or an instant (2026-01-31T08:00:00Z)")
    };
    if let Ok(instant) = text.parse::<DateTime<Utc>>() {
        return Ok(instant);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u32 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    now.checked_sub_signed(chrono::TimeDelta::seconds(i64::from(number) * seconds)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_age_a_day_or_an_instant() {
        let now: DateTime<Utc> = "2026-01-31T08:00:00Z".parse().unwrap();
        let shown = |text: &str| instant(text, now).map(|found| found.to_rfc3339_opts(SecondsFormat::Secs, true));
        assert_eq!(shown("2h").unwrap(), "2026-01-31T06:00:00Z");
        assert_eq!(shown("7d").unwrap(), "2026-01-24T08:00:00Z");
        assert_eq!(shown("2026-01-30").unwrap(), "2026-01-30T00:00:00Z");
        assert_eq!(shown("2026-01-30T10:00:00+02:00").unwrap(), "2026-01-30T08:00:00Z");
        for wrong in ["", "h", "2x", "-1h", "yesterday"] {
            assert_eq!(shown(wrong).unwrap_err().error, "INVALID_INSTANT", "{wrong}");
        }
    }

    #[tokio::test]
    async fn e24_events_command_filters() {
        let shop = crate::command::tests::shop().await;
        let reader = Reader::open(&crate::project::load(&shop.settings).unwrap(), &shop.settings).unwrap();
        let version = table::newest_version(&reader.location, None).await.unwrap().unwrap();
        let log = reader.at_version(version).await.unwrap();
        let update = reader.latest_update(&log).await.unwrap();
        assert_eq!(update.as_ref(), Some(&shop.last_update));
        let filter = |level: EventLevel, types: &[&str], dataset: Option<&str>| {
            let types = types.iter().map(ToString::to_string).collect();
            let filter = EventFilter { update: String::new(), types, level, dataset: dataset.map(str::to_string), since: None };
            Filter::new(&filter, update.clone(), None)
        };
        let messages = async |filter: Filter| -> Vec<String> {
            let found = reader.matching(Arc::clone(&log), &filter).await.unwrap();
            found.iter().map(|event| event["message"].as_str().unwrap().to_string()).collect()
        };
        let flow = filter(EventLevel::Info, &["flow_progress"], Some("visits"));
        let states = ["is QUEUED", "is STARTING", "is RUNNING", "has COMPLETED"].map(|state| format!("Flow visits {state}."));
        assert_eq!(messages(flow).await, states);
        assert_eq!(messages(filter(EventLevel::Warn, &[], None)).await, Vec::<String>::new());
        let all = messages(filter(EventLevel::Metrics, &[], None)).await;
        assert!(all.first().unwrap().starts_with("Update ") && all.last().unwrap().ends_with(" is COMPLETED."), "{all:?}");
    }

    #[test]
    fn filters_that_nothing_fits_are_told() {
        let filter = EventFilter {
            update: String::new(),
            types: vec!["flow_progress".to_string()],
            level: EventLevel::Error,
            dataset: Some("Orders".to_string()),
            since: None,
        };
        let told = Filter::new(&filter, Some("u1".to_string()), None).nothing();
        let expected = "no event of the update u1, of the types flow_progress, about orders, of level ERROR or above; --update all looks at all updates";
        assert_eq!(told, expected);
    }

    #[test]
    fn e24_dataset_filter_takes_short_and_full_names() {
        let filter =
            |dataset: &str| Filter { update: None, types: Vec::new(), levels: Vec::new(), dataset: Some(dataset.to_string()), since: None };
        let event = serde_json::json!({"origin": {"dataset_name": "main.bookstore.orders_silver"}});
        for name in ["orders_silver", "bookstore.orders_silver", "main.bookstore.orders_silver"] {
            assert!(filter(name).is_about(&event), "{name}");
        }
        for name in ["silver", "bookstore", "orders"] {
            assert!(!filter(name).is_about(&event), "{name}");
        }
    }
}
