//! How events get into the table: in order, after a while or at once, and not lost when it cannot be written.

use std::{sync::atomic::Ordering, time::Duration};

use floe_crds::state::{FlowState, UpdateState};

use super::{batch, memory_log, orders};
use crate::{
    event_log::{
        Pauses,
        event::{Event, Level, Subject},
    },
    failure::Failure,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_sequence_without_gaps() {
    let (log, table, lines) = memory_log();
    let writers = (0..16).map(|flow| {
        let log = log.clone();
        tokio::task::spawn_blocking(move || {
            for batch in 0..625 {
                log.record(Event::flow_progress(Subject::flow(format!("f{flow}"), "id", "d").batch(batch), FlowState::Running));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    log.close().await;
    let records = table.records();
    let numbers: Vec<i64> = records.iter().map(|record| record.seq_no).collect();
    assert_eq!(numbers, (1..=10_000).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(|record| record.timestamp));
    let printed: Vec<_> = lines.events().iter().map(|event| event["id"].as_str().unwrap().to_string()).collect();
    assert_eq!(printed, records.iter().map(|record| record.id.clone()).collect::<Vec<_>>(), "e18: stdout equals the table");
}

#[tokio::test]
async fn e15_log_failure_does_not_lose_events() {
    let (log, table, lines) = memory_log();
    table.broken.store(true, Ordering::SeqCst);
    log.record(Event::update_progress("u1", UpdateState::Running));
    log.record(Event::update_progress("u1", UpdateState::Failed));
    assert!(!log.flush().await);
    assert!(lines.events().iter().any(|line| line["event_type"] == "event_log_write_failed"));
    table.broken.store(false, Ordering::SeqCst);
    log.close().await;
    assert_eq!(table.records().len(), 2);
    assert!(log.write_failures() >= 1);
}

#[tokio::test]
async fn a_buffer_that_cannot_be_written_loses_metrics_first() {
    let (log, table, _) = memory_log();
    table.broken.store(true, Ordering::SeqCst);
    log.record(Event::update_progress("u1", UpdateState::Running));
    for number in 0..10_005 {
        log.record(Event::committed(orders(), batch(Some(number), 1)));
    }
    table.broken.store(false, Ordering::SeqCst);
    log.close().await;
    let records = table.records();
    assert_eq!(records.len(), 10_001, "ten thousand, and one that says how many are missing");
    assert_eq!(records[0].event_type, "update_progress");
    assert_eq!(records[10_000].message, "The event log could not be written in time; 6 events discarded.");
    assert_eq!(records[10_000].level, Level::Warn);
}

#[tokio::test]
async fn events_are_written_after_a_while_or_at_once() {
    let (log, table, _) = memory_log();
    assert_eq!(Pauses::default().flush_after, Duration::from_secs(5));
    log.record(Event::update_progress("u1", UpdateState::Running));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(table.records().len(), 0);
    until(|| table.records().len() == 1).await;
    let failed = std::time::Instant::now();
    log.record(Event::flow_failed(orders(), &Failure::user("X", "x"), None, None));
    until(|| table.records().len() == 2).await;
    assert!(failed.elapsed() < Duration::from_millis(400), "a failure waits for nothing");
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing happened in 5 s");
}
