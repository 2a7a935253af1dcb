//! Watermarks and keyed de-duplication through the real process: which rows stay, what is counted, what is remembered and for how long.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
};

use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    continuous::Live,
    harness::Project,
    request::{Pod, by_name, http},
};

const SOURCE: &str = "STREAM read_files('landing', format => 'json', maxFilesPerTrigger => 1,
    schema => 'device BIGINT, time TIMESTAMP, rate DOUBLE')";
const MINUTE: i64 = 60;

/// Table `t` of `select` over the stream.
fn project(select: &str) -> Project {
    let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS {};", select.replace("SOURCE", SOURCE));
    Project::new(&[("t.sql", &sql)])
}

/// By device and time, forgotten 30 seconds after.
fn by_time() -> Project {
    project("SELECT DISTINCT ON (device, time) * FROM SOURCE WATERMARK time DELAY OF INTERVAL 30 SECONDS")
}

/// Device, seconds after ten o'clock (`None`: no time), rate.
type Beat = (i64, Option<i64>, i64);

fn clock(seconds: i64) -> String {
    let at = 10 * 3600 + seconds;
    format!("2024-01-01T{:02}:{:02}:{:02}Z", at / 3600, at / 60 % 60, at % 60)
}

fn land(project: &Project, name: &str, beats: &[Beat]) {
    project.land(
        name,
        beats.iter().map(|(device, time, rate)| {
            let time = time.map_or_else(|| "null".to_string(), |time| format!("\"{}\"", clock(time)));
            format!(r#"{{"device":{device},"time":{time},"rate":{rate}}}"#)
        }),
    );
}

fn rows(project: &Project) -> Vec<String> {
    project.rows("t", "SELECT device, rate FROM t")
}

/// A number of flow `t` in the newest update, summed over its micro-batches.
fn counted(project: &Project, name: &str) -> u64 {
    let events = project.last_update();
    let numbers = events.iter().filter(|event| event.kind == "flow_progress").map(|event| event.details["metrics"][name].as_u64());
    numbers.flatten().sum()
}

/// The documents of what flow `t` remembers, newest last, and the number of files of keys.
fn remembered(project: &Project, generation: u32) -> (Vec<Value>, usize) {
    let directory = project.path().join(format!("lake/_floe/checkpoints/t/g{generation}/state"));
    let names = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let (documents, files): (Vec<_>, Vec<_>) = names.partition(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut documents: Vec<Value> = documents.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect();
    documents.sort_by_key(|document| document["batch"].as_i64());
    (documents, files.len())
}

fn keys(document: &Value) -> u64 {
    let segments = document["operators"][0]["segments"].as_array().unwrap();
    segments.iter().map(|segment| segment["rows"].as_u64().unwrap()).sum()
}

#[test]
fn p34_dedup_with_watermark() {
    let project = by_time();
    land(&project, "1.json", &[(1, Some(0), 80), (1, Some(0), 80)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|80.0"]);
    land(&project, "2.json", &[(1, Some(0), 80)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|80.0"]);
    let before = project.versions();
    project.run(&[]);
    assert_eq!(project.versions(), before, "nothing new");
}

#[test]
fn p35_dedup_state_expires() {
    let project = by_time();
    land(&project, "1.json", &[(1, Some(0), 80), (2, Some(5 * MINUTE), 81)]);
    project.run(&[]);
    let (documents, files) = remembered(&project, 0);
    // The batch without rows has moved the watermark to 10:04:30 and forgotten the first key, or will when its file is read again.
    assert_eq!((documents.len(), files), (1, 1));
    assert_eq!((documents[0]["batch"].as_i64(), documents[0]["watermarkUs"].as_i64()), (Some(1), Some(1_704_103_470_000_000)));
    land(&project, "2.json", &[(1, Some(0), 99)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|80.0", "2|81.0"]);
    assert_eq!(counted(&project, "num_rows_dropped_by_watermark"), 1);
    // All keys so far are older than the watermark by now: their files are gone.
    land(&project, "3.json", &[(3, Some(60 * MINUTE), 1)]);
    project.run(&[]);
    let (documents, files) = remembered(&project, 0);
    assert_eq!((documents.len(), files, keys(&documents[0])), (1, 1, 1));

    let for_ever = self::project("SELECT DISTINCT ON (device) * FROM SOURCE");
    land(&for_ever, "1.json", &[(1, Some(0), 80), (2, Some(5 * MINUTE), 81)]);
    for_ever.run(&[]);
    land(&for_ever, "2.json", &[(3, Some(600 * MINUTE), 82)]);
    for_ever.run(&[]);
    land(&for_ever, "3.json", &[(1, Some(900 * MINUTE), 99)]);
    for_ever.run(&[]);
    assert_eq!(rows(&for_ever), ["1|80.0", "2|81.0", "3|82.0"]);
    assert!(for_ever.call("validate", &[]).stderr.contains("W006"));
}

#[test]
fn p36_dedup_first_row_wins() {
    for cpu_millis in ["1000", "2000", "8000"] {
        let project = project(
            "SELECT DISTINCT ON (device, time) * FROM STREAM read_files('landing', format => 'json',
             schema => 'device BIGINT, time TIMESTAMP, rate DOUBLE') WATERMARK time DELAY OF '30 seconds'",
        );
        for file in 0..6 {
            let beats: Vec<Beat> = (0..300).map(|row| (row % 50, Some(row % 7), file * 1000 + row)).collect();
            land(&project, &format!("{file}.json"), &beats);
            filetime(&project, &format!("{file}.json"), 1_000_000 + file as u64);
        }
        let ended = project.floe("run", &[]).env("FLOE_CPU_MILLIS", cpu_millis).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        // 50 devices by 7 times: 300 rows of the first file hold 300 of them, each once.
        assert_eq!(
            project.rows("t", "SELECT count(*), sum(CASE WHEN rate < 1000 THEN 1 ELSE 0 END), sum(rate) FROM t"),
            ["300|300|44850.0"]
        );
    }
}

/// Files are read in the order of their times.
fn filetime(project: &Project, name: &str, seconds: u64) {
    let file = fs::File::options().write(true).open(project.path().join("landing").join(name)).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
}

#[test]
fn p37_within_watermark_dedup() {
    let project = project("SELECT DISTINCT ON (device) WITHIN WATERMARK * FROM SOURCE WATERMARK time DELAY OF INTERVAL 30 SECONDS");
    land(&project, "1.json", &[(1, Some(0), 1)]);
    project.run(&[]);
    land(&project, "2.json", &[(1, Some(20), 2)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|1.0"]);
    land(&project, "3.json", &[(2, Some(5 * MINUTE), 3)]);
    project.run(&[]);
    land(&project, "4.json", &[(1, Some(10 * MINUTE), 4)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|1.0", "1|4.0", "2|3.0"]);
    land(&project, "5.json", &[(1, Some(10 * MINUTE + 20), 5)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|1.0", "1|4.0", "2|3.0"]);
}

#[test]
fn rows_without_event_time_are_kept_once_and_for_ever() {
    let project = by_time();
    land(&project, "1.json", &[(1, None, 1), (1, None, 2), (1, Some(0), 3)]);
    project.run(&[]);
    land(&project, "2.json", &[(2, Some(600 * MINUTE), 4)]);
    project.run(&[]);
    land(&project, "3.json", &[(1, None, 5), (2, None, 6)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|1.0", "1|3.0", "2|4.0", "2|6.0"]);
}

#[test]
fn select_distinct_and_keys_that_are_null_or_not_numbers() {
    let project = self::project("SELECT DISTINCT device, rate FROM SOURCE WHERE device > 0 OR device IS NULL");
    project.land(
        "1.json",
        [r#"{"device":1,"rate":0.0}"#, r#"{"device":1,"rate":-0.0}"#, r#"{"rate":1}"#, r#"{"device":0,"rate":1}"#].map(String::from),
    );
    project.run(&[]);
    project.land("2.json", [r#"{"rate":1}"#, r#"{"device":1,"rate":-0.0}"#, r#"{"device":2}"#].map(String::from));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT device, abs(rate) FROM t"), ["1|0.0", "2|NULL", "NULL|1.0"]);
}

#[test]
fn expectations_see_rows_after_de_duplication_and_a_view_may_de_duplicate() {
    let sql = format!(
        "CREATE TEMPORARY VIEW beats AS SELECT DISTINCT ON (device, time) * FROM {SOURCE} WATERMARK time DELAY OF '30 seconds';
         CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT low EXPECT (rate < 100) ON VIOLATION DROP ROW)
           AS SELECT b.device, b.rate, n.name FROM STREAM(beats) AS b INNER JOIN names AS n ON b.device = n.device;
         CREATE OR REFRESH MATERIALIZED VIEW names AS SELECT device, name FROM read_files('names', format => 'json', schema => 'device BIGINT, name STRING');"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.write("names/n.json", "");
    land(&project, "1.json", &[(1, Some(0), 1), (1, Some(0), 2), (2, Some(0), 200), (2, Some(0), 200)]);
    project.run(&[]);
    // The join met no name: the rows are lost, and their keys are remembered all the same.
    assert_eq!((rows(&project).len(), keys(&remembered(&project, 0).0[0])), (0, 2));
    project.write("names/n.json", "{\"device\":1,\"name\":\"a\"}\n{\"device\":2,\"name\":\"b\"}\n");
    land(&project, "2.json", &[(1, Some(0), 1), (1, Some(1), 3), (2, Some(1), 300), (2, Some(1), 300)]);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT device, rate, name FROM t"), ["1|3.0|a"]);
    assert_eq!(project.counted("t")["low failed"], 1);
}

#[test]
fn auto_cdc_reads_a_de_duplicated_stream_in_the_order_of_its_source() {
    let sql = format!(
        "CREATE TEMPORARY VIEW beats AS SELECT DISTINCT ON (device, rate) * FROM {SOURCE} WATERMARK time DELAY OF '30 seconds';
         CREATE OR REFRESH STREAMING TABLE t;
         CREATE FLOW t AS AUTO CDC INTO t FROM STREAM(beats) KEYS (device) SEQUENCE BY time;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    // Of equal times the last row counts, and the repeated first one is none.
    land(&project, "1.json", &[(1, Some(0), 1), (1, Some(0), 2), (1, Some(0), 1)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|2.0"]);
    land(&project, "2.json", &[(1, Some(10), 1)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|2.0"]);
}

#[test]
fn e_the_event_log_tells_event_times_watermark_and_state() {
    let project = by_time();
    land(&project, "1.json", &[(1, Some(0), 80), (1, Some(0), 80), (2, Some(7 * MINUTE), 81)]);
    land(&project, "2.json", &[(1, Some(0), 80), (3, Some(8 * MINUTE), 81)]);
    filetime(&project, "1.json", 1_000_000);
    project.run(&[]);
    let events = project.last_update();
    let batches: Vec<&Value> = events
        .iter()
        .filter(|event| event.kind == "flow_progress")
        .map(|event| &event.details["metrics"])
        .filter(|m| !m.is_null())
        .collect();
    assert_eq!(batches.len(), 3, "two files, then a batch without rows: {batches:?}");
    assert_eq!(batches[0]["streaming_metrics"]["event_time"]["max"], "2024-01-01T10:07:00Z");
    assert_eq!(batches[0]["streaming_metrics"]["watermark"], Value::Null);
    assert_eq!(batches[0]["num_rows_dropped_by_watermark"], 0);
    assert_eq!(batches[1]["streaming_metrics"]["watermark"], "2024-01-01T10:06:30Z");
    assert_eq!((&batches[1]["num_rows_dropped_by_watermark"], &batches[1]["num_output_rows"]), (&1.into(), &1.into()));
    assert_eq!((&batches[2]["streaming_metrics"]["watermark"], &batches[2]["num_input_rows"]), (&"2024-01-01T10:07:30Z".into(), &0.into()));
    let progress: Vec<Value> = events
        .iter()
        .filter(|event| event.kind == "stream_progress")
        .map(|event| serde_json::from_str(event.details["progress_json"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(progress[0]["eventTime"]["min"], "2024-01-01T10:00:00Z");
    assert_eq!(progress[1]["eventTime"]["watermark"], "2024-01-01T10:06:30Z");
    let operator = &progress[1]["stateOperators"][0];
    assert_eq!(operator["operatorName"], "dedupe");
    let totals: Vec<_> = progress.iter().map(|progress| progress["stateOperators"][0]["numRowsTotal"].as_u64()).collect();
    // The batch without rows forgets the keys of the first file: the watermark has passed both.
    assert_eq!(totals, [Some(2), Some(3), Some(1)]);
    assert_eq!(progress[2]["stateOperators"][0]["memoryUsedBytes"], bytes_of_keys(&project));
    assert_eq!((&operator["numRowsUpdated"], &operator["numRowsDroppedByWatermark"]), (&1.into(), &1.into()));
}

/// The size of all files of keys.
fn bytes_of_keys(project: &Project) -> u64 {
    let entries = fs::read_dir(project.path().join("lake/_floe/checkpoints/t/g0/state")).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.path().extension().is_none_or(|extension| extension != "json"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum()
}

/// Two files: one of the rows is late, and after the last batch one key is remembered.
fn with_a_late_row() -> Project {
    let project = by_time();
    land(&project, "1.json", &[(1, Some(0), 80), (1, Some(0), 80), (2, Some(7 * MINUTE), 81)]);
    land(&project, "2.json", &[(1, Some(0), 80), (3, Some(8 * MINUTE), 81)]);
    filetime(&project, "1.json", 1_000_000);
    project
}

#[test]
fn a_report_tells_watermark_state_and_late_rows_whether_something_is_new_or_not() {
    let project = with_a_late_row();
    let late = |report: &Value| report["counters"]["floe_flow_late_rows_total"][r#"flow="t""#].as_f64();
    let told = |report: &Value| {
        let metrics = by_name(&report["flows"], "name", "t")["metrics"].clone();
        let streaming = by_name(&report["tables"], "fullName", "main.s.t")["streaming"].clone();
        (metrics["state_rows"].as_u64(), metrics["state_bytes"].as_u64(), streaming["watermark"].clone())
    };
    // The first pod dies when the second batch is in the table: its numbers are those of the second pod too, and none is counted twice.
    let pod = Pod::new(&project).env("FLOE_FAILPOINTS", "target::after=2");
    assert_eq!(pod.run().code, None);
    let pod = pod.env("FLOE_FAILPOINTS", "");
    pod.completed();
    let report = pod.report();
    let expected = (Some(1), Some(bytes_of_keys(&project)), Value::from("2024-01-01T10:07:30Z"));
    assert_eq!((told(&report), late(&report)), (expected.clone(), Some(1.0)), "{report:#}");
    assert_eq!(by_name(&report["flows"], "name", "t")["metrics"]["num_rows_dropped_by_watermark"], 1);
    // The next update has nothing to do, and what is remembered is still there.
    let pod =
        Pod::new(&project).with("/update/id", "0d8c7a2e-0000-4000-8000-000000000001".into()).with("/report/name", "shop-u8-a1".into());
    pod.completed();
    let report = pod.report();
    assert_eq!((told(&report), late(&report)), (expected, None), "{report:#}");
    assert_eq!(report["totals"]["rowsWritten"], 0);
}

/// The samples of a family that `/metrics` serves: labels behind those of the pipeline, value.
fn samples(text: &str, family: &str) -> Vec<(String, i64)> {
    let of_pipeline = format!("{family}{{namespace=\"data\",pipeline=\"shop\",");
    let values = text.lines().filter_map(|line| line.strip_prefix(&of_pipeline)?.split_once("} "));
    values.map(|(labels, value)| (labels.to_string(), value.parse().unwrap())).collect()
}

#[test]
fn gauges_of_a_running_update_tell_watermark_state_and_late_rows() {
    let project = with_a_late_row();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let spec = json!({"schema": "s", "storage": {"uri": format!("file://{}/lake", project.path().display())}, "source": {},
        "mode": "Continuous", "configuration": {"pipelines.trigger.interval": "0.1 seconds"}});
    let pod = Pod::new(&project).with("/pipeline/spec", spec);
    let mut live = Live::of(&project, pod.floe(&["--http-addr", &address]));
    let of_flow = |value: u64| vec![(r#"flow="t""#.to_string(), value.cast_signed())];
    let is_told = |late: u64, rows: u64, watermark: i64| {
        let Ok(stream) = TcpStream::connect(&address) else { return false };
        drop(stream);
        let before = Utc::now().timestamp();
        let (_, text) = http(&address, "/metrics");
        let [found_late, found_rows, bytes, delay] = ["late_rows_total", "state_rows", "state_bytes", "watermark_delay_seconds"]
            .map(|name| samples(&text, &format!("floe_flow_{name}")));
        let delays = before - watermark..=Utc::now().timestamp() - watermark;
        found_late == of_flow(late)
            && found_rows == of_flow(rows)
            && bytes == of_flow(bytes_of_keys(&project))
            && delay.len() == 1
            && delay[0].0 == r#"flow="t""#
            && delays.contains(&delay[0].1)
    };
    let seconds = |clock: i64| 1_704_103_200 + clock;
    live.until("the gauges", |_| is_told(1, 1, seconds(7 * MINUTE + 30)));
    // Time goes on: the key that was remembered is forgotten, two others are not.
    land(&project, "_3.json", &[(1, Some(0), 80), (4, Some(20 * MINUTE), 82), (5, Some(20 * MINUTE + 1), 83)]);
    fs::rename(project.path().join("landing/_3.json"), project.path().join("landing/3.json")).unwrap();
    live.until("the gauges of the third file", |_| is_told(2, 2, seconds(19 * MINUTE + 31)));
    assert_eq!(live.stop("TERM").code, Some(143));
    assert_eq!(rows(&project), ["1|80.0", "2|81.0", "3|81.0", "4|82.0", "5|83.0"]);
}

#[test]
fn p87_stateful_change_detected() {
    let project = by_time();
    land(&project, "1.json", &[(1, Some(0), 80), (2, Some(1), 81)]);
    project.run(&[]);
    let query = |keys: &str| {
        let sql =
            format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT {keys} * FROM {SOURCE} WATERMARK time DELAY OF INTERVAL 30 SECONDS;");
        project.write("transformations/t.sql", &sql);
    };
    let before = project.versions();
    for keys in ["DISTINCT ON (device)", "DISTINCT ON (time, device)", "DISTINCT ON (device, time) WITHIN WATERMARK", ""] {
        query(keys);
        for command in ["validate", "run"] {
            let ended = project.refused(command, &[], 10, "STATE_STORE_INCOMPATIBLE");
            assert!(
                ended.stderr.contains("(device BIGINT, time TIMESTAMP)") && ended.stderr.contains("--reset-checkpoint t"),
                "{}",
                ended.stderr
            );
        }
    }
    assert_eq!(project.versions(), before, "nothing was written");
    // Another delay, projection or filter is no other state.
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT DISTINCT ON (device, time) device, time, rate FROM {SOURCE} WATERMARK time DELAY OF '1 hour' WHERE device < 9;"
    );
    project.write("transformations/t.sql", &sql);
    land(&project, "2.json", &[(2, Some(1), 99), (3, Some(1), 82), (9, Some(1), 83)]);
    project.run(&[]);
    assert_eq!(rows(&project), ["1|80.0", "2|81.0", "3|82.0"]);
    // A checkpoint reset reads everything again, with new keys.
    query("DISTINCT ON (device)");
    project.run(&["--reset-checkpoint", "t"]);
    assert_eq!(rows(&project).len(), 3 + 4);
    project.run(&["--full-refresh", "t"]);
    assert_eq!(rows(&project), ["1|80.0", "2|81.0", "3|82.0", "9|83.0"]);
    let (documents, _) = remembered(&project, 2);
    assert_eq!(keys(&documents[0]), 4);
}

#[test]
fn files_of_keys_stay_few() {
    let project = project("SELECT DISTINCT ON (device) * FROM SOURCE");
    for file in 0..40 {
        land(&project, &format!("{file:02}.json"), &[(file, Some(0), 1), (file / 2, Some(0), 2)]);
        filetime(&project, &format!("{file:02}.json"), 1_000_000 + file as u64);
    }
    project.run(&[]);
    let (documents, files) = remembered(&project, 0);
    assert_eq!((documents.len(), keys(&documents[0])), (1, 40));
    assert!(files < 10, "{files} files of keys");
    land(&project, "again.json", &(0..41).map(|device| (device, Some(0), 3)).collect::<Vec<Beat>>());
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT count(*), count(DISTINCT device) FROM t"), ["41|41"]);
}

/// What the table must hold: the micro-batches one after another, each row against all before it.
fn reference(batches: &[Vec<Beat>], delay: i64, within: bool) -> (Vec<String>, u64) {
    let mut known: BTreeMap<(i64, Option<i64>), Option<i64>> = BTreeMap::new();
    let (mut watermark, mut greatest) = (i64::MIN, i64::MIN);
    let (mut kept, mut late) = (Vec::new(), 0);
    for batch in batches {
        known.retain(|_, expires| expires.is_none_or(|expires| expires >= watermark));
        for (device, time, rate) in batch {
            greatest = greatest.max(time.unwrap_or(i64::MIN));
            if time.is_some_and(|time| time < watermark) {
                late += 1;
                continue;
            }
            let key = (*device, if within { None } else { *time });
            if let std::collections::btree_map::Entry::Vacant(entry) = known.entry(key) {
                entry.insert(time.map(|time| if within { time + delay } else { time }));
                kept.push(format!("{device}|{rate}.0"));
            }
        }
        if greatest > i64::MIN {
            watermark = watermark.max(greatest - delay);
        }
    }
    kept.sort();
    (kept, late)
}

/// A generator whose feeds are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn random_feeds_in_random_batchings_give_what_a_plain_reference_gives() {
    let mut random = Random(7);
    for round in 0..10 {
        let within = round % 2 == 1;
        let delay = [0, 5, 60][round % 3];
        let clause = if within { "DISTINCT ON (device) WITHIN WATERMARK" } else { "DISTINCT ON (device, time)" };
        let project = project(&format!("SELECT {clause} * FROM SOURCE WATERMARK time DELAY OF INTERVAL {delay} SECONDS"));
        let mut batches: Vec<Vec<Beat>> = Vec::new();
        let mut serial = 0;
        for batch in 0..12 {
            let rows = random.below(30);
            let beats = (0..rows).map(|_| {
                serial += 1;
                let time = (batch * 10 + random.below(40)).cast_signed();
                let time = if random.below(20) == 0 { None } else { Some(time) };
                (random.below(6).cast_signed(), time, serial)
            });
            batches.push(beats.collect());
        }
        // Some updates get one file, some several; each file is a micro-batch.
        let mut landed = 0;
        while landed < batches.len() {
            let together = (1 + random.below(4) as usize).min(batches.len() - landed);
            for (file, batch) in batches.iter().enumerate().skip(landed).take(together) {
                land(&project, &format!("{file:02}.json"), batch);
                filetime(&project, &format!("{file:02}.json"), 1_000_000 + file as u64);
            }
            landed += together;
            project.run(&[]);
        }
        let (expected, late) = reference(&batches, delay, within);
        assert_eq!(rows(&project), expected, "round {round}");
        let counted: u64 = project
            .events("SELECT details FROM t WHERE event_type = 'flow_progress'")
            .iter()
            .filter_map(|details| {
                serde_json::from_str::<Value>(details).unwrap()["flow_progress"]["metrics"]["num_rows_dropped_by_watermark"].as_u64()
            })
            .sum();
        assert_eq!(counted, late, "late rows of round {round}");
        project.run(&["--full-refresh-all"]);
        assert_eq!(rows(&project), expected, "a full refresh of round {round}");
    }
}

#[test]
fn killed_between_any_two_steps_the_keys_and_the_rows_are_the_same() {
    let files = |project: &Project| {
        for file in 0..5 {
            let beats: Vec<Beat> = (0..40).map(|row| (row % 9, Some(file * 100 + row % 5), file * 100 + row)).collect();
            land(project, &format!("{file}.json"), &beats);
            filetime(project, &format!("{file}.json"), 1_000_000 + file as u64);
        }
    };
    let make = || {
        let project = self::project("SELECT DISTINCT ON (device, time) * FROM SOURCE WATERMARK time DELAY OF INTERVAL 2 MINUTES");
        files(&project);
        project
    };
    let undisturbed = make();
    undisturbed.run(&[]);
    let expected = (rows(&undisturbed), keys(&remembered(&undisturbed, 0).0[0]), undisturbed.totals());
    assert!(!expected.0.is_empty());
    let places = ["offsets::after", "stage::before", "stage::after", "state::before", "state::after", "target::before", "target::after"];
    let places = places.iter().chain(&["commit_entry::before", "commit_entry::after"]);
    let mut reached = BTreeSet::new();
    for place in places {
        for hit in [1, 3, 6] {
            let project = make();
            let armed = format!("{place}={hit}");
            let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", &armed).output().unwrap();
            if killed.status.signal().is_some() {
                reached.insert(armed.clone());
            }
            project.run(&[]);
            let found = (rows(&project), keys(&remembered(&project, 0).0[0]), project.totals());
            assert!(found == expected, "{armed}: {} rows, {} keys, {:?}", found.0.len(), found.1, found.2);
            let (documents, files) = remembered(&project, 0);
            let named = documents[0]["operators"][0]["segments"].as_array().unwrap().len();
            assert_eq!((documents.len(), files), (1, named), "files are left after {armed}");
        }
    }
    assert!(reached.len() >= 24, "only {reached:?}");
}
