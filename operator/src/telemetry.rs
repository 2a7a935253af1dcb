//! Log lines: one JSON object each for machines, or short lines for people. The filter can be changed while the process runs.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt as text,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

use crate::{clock, settings::LogFormat};

/// What the client logs of its own accord says nothing that the error of the call does not say; the user's filter comes after it and wins.
const QUIET: &str = "kube_client::client::builder=off";

/// The filter of log lines.
#[derive(Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    filter: Arc<Mutex<String>>,
}

impl LogLevel {
    /// The filter as it was last set.
    pub fn get(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the filter, e.g. `debug` or `info,floe_operator::update=debug`; says what is wrong with it.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let parsed = parse(filter).map_err(|error| error.to_string())?;
        self.handle.reload(parsed).map_err(|error| error.to_string())?;
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = filter.to_string();
        Ok(())
    }
}

fn parse(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(format!("{QUIET},{filter}"))
}

/// Starts logging to standard error.
pub fn start(format: LogFormat, filter: &str) -> Result<LogLevel, TryInitError> {
    let (layer, level) = level(filter);
    let json = (format == LogFormat::Json).then_some(JsonLines);
    let people = (format == LogFormat::Text).then(|| text::layer().with_writer(io::stderr).with_ansi(false).compact());
    tracing_subscriber::registry().with(layer).with(json).with(people).try_init()?;
    Ok(level)
}

/// The layer that filters, and the way to change it.
pub(crate) fn level(filter: &str) -> (reload::Layer<EnvFilter, Registry>, LogLevel) {
    let (layer, handle) = reload::Layer::new(parse(filter).unwrap_or_else(|_| EnvFilter::new("info")));
    (layer, LogLevel { handle, filter: Arc::new(Mutex::new(filter.to_string())) })
}

/// Writes each event as one line of JSON. Fields of the spans around it stand beside its own.
struct JsonLines;

/// Fields of a span.
struct SpanFields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(known) = span.extensions_mut().get_mut::<SpanFields>() {
            known.0.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        // There is no place left to say that a log line was lost.
        let _ = writeln!(io::stderr().lock(), "{}", line(event, &ctx));
    }
}

/// The event as an object: when, how bad, where, what; then the fields of the spans around it and its own.
fn line<S: Subscriber + for<'a> LookupSpan<'a>>(event: &Event<'_>, ctx: &Context<'_, S>) -> Value {
    let mut own = Fields::default();
    event.record(&mut own);
    let message = own.0.shift_remove("message").unwrap_or_else(|| Value::String(String::new()));
    let mut line = Map::new();
    line.insert("ts".to_string(), Value::String(clock::now().to_string()));
    line.insert("level".to_string(), Value::String(event.metadata().level().as_str().to_lowercase()));
    line.insert("target".to_string(), Value::String(event.metadata().target().to_string()));
    line.insert("message".to_string(), message);
    for span in ctx.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
        if let Some(fields) = span.extensions().get::<SpanFields>() {
            line.extend(fields.0.clone());
        }
    }
    line.extend(own.0);
    Value::Object(line)
}

/// Takes fields as JSON values.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_string(), value.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
        let mut chain = Vec::new();
        let mut source = value.source();
        while let Some(error) = source {
            chain.push(Value::String(error.to_string()));
            source = error.source();
        }
        if !chain.is_empty() {
            self.0.insert(format!("{}_chain", field.name()), Value::Array(chain));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{value:?}");
        self.put(field, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write")]
    struct Outer(#[source] io::Error);

    /// Keeps the lines instead of writing them.
    struct Kept(Arc<Mutex<Vec<Value>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Kept {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
            JsonLines.on_new_span(attributes, id, ctx);
        }

        fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
            self.0.lock().unwrap().push(line(event, &ctx));
        }
    }

    #[test]
    fn lines_hold_the_fields_of_spans_and_the_chain_of_errors() {
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Kept(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("reconcile", controller = "pipeline", namespace = "data", name = "bookstore");
            let error = Outer(io::Error::other("disk full"));
            span.in_scope(|| tracing::warn!(generation = 3, error = &error as &dyn std::error::Error, "reconcile failed"));
        });
        let line = lines.lock().unwrap().pop().unwrap();
        let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["ts", "level", "target", "message", "controller", "namespace", "name", "generation", "error", "error_chain"]);
        assert_eq!(
            (&line["level"], &line["message"], &line["error"]),
            (&"warn".into(), &"reconcile failed".into(), &"cannot write".into())
        );
        assert_eq!(line["error_chain"], serde_json::json!(["disk full"]));
    }

    #[test]
    fn the_users_filter_wins_over_what_is_quiet() {
        assert_eq!(parse("info").unwrap().to_string(), "kube_client::client::builder=off,info");
        assert_eq!(parse("kube_client::client::builder=trace").unwrap().to_string(), "kube_client::client::builder=trace");
    }
}
