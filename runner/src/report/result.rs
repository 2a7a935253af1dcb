//! How a runner ended: the same few facts in the RunReport and in the termination message of the container.

use std::{fs, path::Path};

use floe_crds::{run_report::RunResult, text::cut};

use crate::{event_log::Redaction, failure::Failure};

/// Longest message of a result.
const MAX_MESSAGE_BYTES: usize = 2048;
/// Longest name in a result.
const MAX_NAME_BYTES: usize = 512;
/// What the kubelet keeps of a termination message.
const MAX_TERMINATION_BYTES: usize = 4096;
/// Where the kubelet reads, unless a pod says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The result of a process that ends with `exit_code` because of `failure`.
pub fn result(exit_code: u8, failure: Option<&Failure>, redaction: &Redaction) -> RunResult {
    let text = |text: &str, most: usize| cut(&redaction.text(text), most).to_string();
    RunResult {
        exit_code: i32::from(exit_code),
        class: failure.map(|failure| failure.class),
        error_class: failure.map(|failure| text(&failure.error, 256)),
        flow: failure.and_then(|failure| failure.flow.as_deref()).map(|flow| text(flow, MAX_NAME_BYTES)),
        dataset: failure.and_then(|failure| failure.dataset.as_deref()).map(|dataset| text(dataset, MAX_NAME_BYTES)),
        origin: failure.and_then(|failure| failure.origin.as_ref()).map(|origin| text(&origin.to_string(), MAX_NAME_BYTES)),
        message: failure.map(|failure| text(&told(failure), MAX_MESSAGE_BYTES)),
    }
}

/// What happened, and what to do.
fn told(failure: &Failure) -> String {
    let help = failure.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{}{help}", failure.message)
}

/// Writes the termination message to `file`, or to the usual place if that is there. What cannot be written changes nothing.
pub fn write_termination_message(file: Option<&Path>, result: &RunResult) {
    let usual = Path::new(TERMINATION_LOG);
    let Some(file) = file.or_else(|| usual.is_file().then_some(usual)) else { return };
    if let Err(error) = fs::write(file, termination_message(result)) {
        tracing::warn!("the termination message was not written to {}: {error}", file.display());
    }
}

/// The JSON of `result` in as many bytes as the kubelet keeps: the message gives way.
fn termination_message(result: &RunResult) -> String {
    let mut result = result.clone();
    loop {
        let json = serde_json::to_string(&result).unwrap_or_default();
        let excess = json.len().saturating_sub(MAX_TERMINATION_BYTES);
        let message = result.message.as_deref().filter(|message| excess > 0 && !message.is_empty());
        let Some(message) = message else { return json };
        // Escapes make the text longer than it is; so it gives way by half at least.
        let kept = message.len().saturating_sub(excess).min(message.len() / 2);
        result.message = Some(cut(message, kept).to_string());
    }
}

#[cfg(test)]
mod tests {
    use floe_crds::state::FailureClass;
    use floe_graph::origin::Origin;

    use super::*;

    #[test]
    fn the_message_of_a_failure_names_everything_once() {
        let failure = Failure {
            origin: Some(Origin::new("transformations/3.sql", 12, 1)),
            ..Failure::new(FailureClass::Expectation, "EXPECTATION_VIOLATION", "s3cret was found").in_flow("orders").about("main.b.orders")
        };
        let result = result(11, Some(&failure), &Redaction::new(vec!["s3cret".to_string()]));
        let expected = r#"{"exitCode":11,"class":"expectation","errorClass":"EXPECTATION_VIOLATION","flow":"orders","dataset":"main.b.orders","origin":"transformations/3.sql:12:1","message":"*** was found"}"#;
        assert_eq!(termination_message(&result), expected);
    }

    #[test]
    fn the_message_says_what_to_do() {
        let failure = Failure::storage("NO_SPACE_LEFT", "cannot write /lake").help("free space and run again");
        let told = result(12, Some(&failure), &Redaction::default()).message;
        assert_eq!(told.as_deref(), Some("cannot write /lake (free space and run again)"));
    }

    #[test]
    fn a_long_message_gives_way() {
        let failure = Failure::user("X", "\u{1}".repeat(3000));
        let message = termination_message(&result(10, Some(&failure), &Redaction::default()));
        assert!(message.len() <= MAX_TERMINATION_BYTES && message.starts_with(r#"{"exitCode":10,"class":"user","errorClass":"X""#));
        assert!(serde_json::from_str::<RunResult>(&message).is_ok(), "{message}");
    }

    #[test]
    fn success_is_one_number() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("message");
        write_termination_message(Some(&file), &result(0, None, &Redaction::default()));
        assert_eq!(fs::read_to_string(file).unwrap(), r#"{"exitCode":0}"#);
    }
}
