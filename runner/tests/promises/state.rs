//! Streams that remember: on an object store, in a continuous update and with little memory they give the rows that one quiet run on a
//! local directory gives.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use serde_json::Value;

use crate::{
    continuous::{self, Live},
    harness::Project,
    object_store::Server,
};

/// A de-duplicated stream, a history whose files are marked, and the newest rows, whose files are written again.
const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE beats AS SELECT DISTINCT ON (device, time) device, time, rate
  FROM STREAM read_files('LANDING/beats', format => 'json', maxFilesPerTrigger => 1, schema => 'device BIGINT, time TIMESTAMP, rate BIGINT')
  WATERMARK time DELAY OF INTERVAL 2 MINUTES;
CREATE TEMPORARY VIEW feed AS SELECT * FROM STREAM read_files('LANDING/feed', format => 'json', maxFilesPerTrigger => 1,
  schema => 'id BIGINT, city STRING, op STRING, n BIGINT');
CREATE OR REFRESH STREAMING TABLE history TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');
CREATE FLOW history AS AUTO CDC INTO history FROM STREAM(feed) KEYS (id) APPLY AS DELETE WHEN op = 'D' SEQUENCE BY n
  COLUMNS * EXCEPT (op, n) STORED AS SCD TYPE 2;
CREATE OR REFRESH STREAMING TABLE newest;
CREATE FLOW newest AS AUTO CDC INTO newest FROM STREAM(feed) KEYS (id) APPLY AS DELETE WHEN op = 'D' SEQUENCE BY n COLUMNS * EXCEPT (op, n);";

fn sql(landing: &str) -> String {
    SQL.replace("LANDING", landing)
}

/// The files of one update: path and content. Keys come again in later files, some beats too late, changes in no order.
fn files(update: u64) -> Vec<(String, String)> {
    let of_file = |file: u64| {
        let number = update * 2 + file;
        let beat = |row: u64| {
            let seconds = if row == 0 { 5 } else { number * 100 + row * 7 % 150 };
            let time = format!("2024-01-01T10:{:02}:{:02}Z", seconds / 60, seconds % 60);
            format!("{{\"device\":{},\"time\":\"{time}\",\"rate\":{}}}\n", row % 5, number * 100 + row)
        };
        let change = |id: u64| {
            let n = (number * 37 + id * 13) % 101;
            let op = if (id + number).is_multiple_of(5) { "D" } else { "U" };
            format!("{{\"id\":{id},\"city\":\"c{n}\",\"op\":\"{op}\",\"n\":{n}}}\n")
        };
        [
            (format!("beats/{number}.json"), (0..40).map(beat).collect::<String>()),
            (format!("feed/{number}.json"), (0..24).map(change).collect::<String>()),
        ]
    };
    (0..2).flat_map(of_file).collect()
}

fn land(project: &Project, update: u64) {
    for (path, text) in files(update) {
        // A name that no listing takes until the file is complete.
        let (folder, name) = path.split_once('/').unwrap();
        project.write(&format!("landing/{folder}/_{name}"), &text);
        let folder = project.path().join("landing").join(folder);
        fs::rename(folder.join(format!("_{name}")), folder.join(name)).unwrap();
    }
}

const TABLES: [(&str, &str); 3] = [
    ("beats", "SELECT device, CAST(time AS STRING), rate FROM t"),
    ("history", r#"SELECT id, city, "__START_AT", "__END_AT" FROM t"#),
    ("newest", "SELECT id, city FROM t"),
];

/// The rows of all tables, read by another reader.
fn rows(project: &Project) -> [Vec<String>; 3] {
    TABLES.map(|(name, select)| project.rows(name, select))
}

/// Watermark and number of remembered keys.
fn remembered(document: &[u8]) -> (i64, u64) {
    let document: Value = serde_json::from_slice(document).unwrap();
    let segments = document["operators"][0]["segments"].as_array().unwrap();
    (document["watermarkUs"].as_i64().unwrap(), segments.iter().map(|segment| segment["rows"].as_u64().unwrap()).sum())
}

const STATE: &str = "_floe/checkpoints/beats/g0/state";

/// What the newest document of a project in a local directory says.
fn remembered_by(project: &Project) -> (i64, u64) {
    let entries = fs::read_dir(project.path().join("lake").join(STATE)).unwrap().map(|entry| entry.unwrap().path());
    let documents = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let newest = documents.max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    remembered(&fs::read(newest.unwrap()).unwrap())
}

#[test]
fn on_s3_it_is_as_in_a_directory_also_after_kills() {
    let server = Server::start();
    let on_s3 = Project::new(&[("t.sql", &sql("s3://landing"))]);
    let in_directory = Project::new(&[("t.sql", &sql("landing"))]);
    let mut killed = 0;
    for update in 0..4 {
        land(&in_directory, update);
        for (path, text) in files(update) {
            server.put(&path, text);
        }
        in_directory.run(&[]);
        for place in ["state::after=1", "journal::after=2", "target::after=2"].iter().take(update as usize * 3) {
            let ended = server.floe(&on_s3, "run", &[]).env("FLOE_FAILPOINTS", place).output().unwrap();
            assert!(ended.status.signal() == Some(9) || ended.status.success(), "{place}: {}", String::from_utf8_lossy(&ended.stderr));
            killed += usize::from(ended.status.signal() == Some(9));
        }
        server.run(&on_s3, &[]);
        for columns in [
            "device, time, rate FROM beats ORDER BY device, time",
            "id, city, __START_AT, __END_AT FROM history ORDER BY id, __START_AT",
            "id, city FROM newest ORDER BY id",
        ] {
            let statement = format!("SELECT {columns}");
            assert_eq!(server.sql(&on_s3, &statement), in_directory.sql(&statement).to_string(), "update {update}: {columns}");
        }
        let state = server.objects(&format!("shop/{STATE}"));
        let documents: Vec<&String> =
            state.keys().filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json")).collect();
        assert_eq!(documents.len(), 1, "{state:?}");
        assert_eq!(remembered(&server.content(documents[0])), remembered_by(&in_directory), "update {update}");
        let named: Value = serde_json::from_slice(&server.content(documents[0])).unwrap();
        assert_eq!(named["operators"][0]["segments"].as_array().unwrap().len(), state.len() - 1, "files are left: {state:?}");
    }
    assert!(killed >= 6, "only {killed} kills");
    // Another reader counts the same rows there, marked ones left out.
    for (name, _) in TABLES {
        let count: usize = in_directory.rows(name, "SELECT count(*) FROM t")[0].parse().unwrap();
        assert!(count > 0);
        assert_eq!(server.table(name).0, count, "{name}");
    }
    let before = server.objects("shop/s");
    let again = server.run(&on_s3, &[]);
    assert!(again.stdout.contains("nothing new"), "{}", again.stdout);
    assert_eq!(server.objects("shop/s"), before);
    assert!(!on_s3.path().join("lake").exists(), "nothing is stored on this machine");
}

#[test]
fn p81_in_a_continuous_update_it_is_as_in_triggered_ones() {
    let triggered = Project::new(&[("t.sql", &sql("landing"))]);
    let project = continuous::project(&sql("landing"), "mode: Continuous, ");
    for folder in ["beats", "feed"] {
        fs::create_dir_all(project.path().join("landing").join(folder)).unwrap();
    }
    let mut live = Live::start(&project, &[], "");
    for update in 0..4 {
        land(&triggered, update);
        triggered.run(&[]);
        let (expected, state) = (rows(&triggered), remembered_by(&triggered));
        land(&project, update);
        if update == 2 {
            // The one before was killed while it rested; this one dies at its third commit.
            assert_eq!(live.ended().code, None);
            live = Live::start(&project, &[], "");
        }
        live.until("the rows of a triggered update", |project| {
            TABLES.iter().all(|(name, _)| project.version(name).is_some()) && rows(project) == expected
        });
        live.until("what it remembers", |project| remembered_by(project) == state);
        if update == 1 {
            live.signal("KILL");
            assert_eq!(live.ended().code, None);
            live = Live::start(&project, &[], "target::after=3");
        }
    }
    let ended = live.stop("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    // Run once, it goes on from the same checkpoints: nothing is new.
    let versions = project.versions();
    project.run(&["--refresh", "beats,history,newest"]);
    assert_eq!(project.versions(), versions);
    assert_eq!((rows(&project), remembered_by(&project)), (rows(&triggered), remembered_by(&triggered)));
}

/// Keys of 400 bytes: 80,000 rows of them take, sorted with the rows, far more than the engine may hold (38 MB).
#[test]
fn keys_larger_than_the_memory_are_sorted_on_disk() {
    const KEYS: u64 = 40_000;
    let sql = "CREATE TEMPORARY VIEW wide AS SELECT id, repeat(pad, 40) AS pad
          FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, pad STRING', maxFilesPerTrigger => 1);
        CREATE TEMPORARY VIEW once AS SELECT DISTINCT ON (pad) id, pad FROM STREAM(wide);
        CREATE OR REFRESH STREAMING TABLE t AS SELECT id FROM STREAM(once);";
    let project = Project::new(&[("t.sql", sql)]);
    let row = |id: u64, key: u64| format!(r#"{{"id":{id},"pad":"{:0>10}"}}"#, key * 7_919 % 1_000_003);
    // Every key twice in one file, the second time with another id.
    project.land("00.json", (0..2 * KEYS).map(|id| row(id, id % KEYS)));
    project.run(&["--memory", "64Mi"]);
    let sum = |ids: std::ops::Range<u64>| ids.sum::<u64>();
    assert_eq!(project.rows("t", "SELECT count(*), sum(id) FROM t"), [format!("{KEYS}|{}", sum(0..KEYS))]);
    // Half of the keys are known: they are read and sorted beside the rows. So many files of keys are merged besides.
    for file in 1..10 {
        let first = 1_000_000 * file;
        project.land(&format!("{file:02}.json"), (0..10_000).map(|id| row(first + id, KEYS - 5_000 + (file - 1) * 5_000 + id)));
    }
    project.run(&["--memory", "64Mi"]);
    let new: u64 = (1..10).map(|file| sum(1_000_000 * file + 5_000..1_000_000 * file + 10_000)).sum();
    assert_eq!(project.rows("t", "SELECT count(*), sum(id) FROM t"), [format!("{}|{}", KEYS + 45_000, sum(0..KEYS) + new)]);
}

/// Events of 1,000 bytes: 60,000 of them are far more than the engine may hold (38 MB), as are the history and what is known of it.
#[test]
fn changes_larger_than_the_memory_are_sorted_on_disk() {
    const KEYS: u64 = 30_000;
    let sql = "CREATE TEMPORARY VIEW feed AS SELECT id, n, repeat(pad, 100) AS pad
          FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n BIGINT, pad STRING');
        CREATE OR REFRESH STREAMING TABLE history;
        CREATE FLOW history AS AUTO CDC INTO history FROM STREAM(feed) KEYS (id) SEQUENCE BY n COLUMNS * EXCEPT (n) STORED AS SCD TYPE 2;
        CREATE OR REFRESH STREAMING TABLE newest;
        CREATE FLOW newest AS AUTO CDC INTO newest FROM STREAM(feed) KEYS (id) SEQUENCE BY n COLUMNS * EXCEPT (n);";
    let project = Project::new(&[("t.sql", sql)]);
    let event = |id: u64, n: u64| format!(r#"{{"id":{id},"n":{n},"pad":"{:0>10}"}}"#, id * 100 + n);
    // In no order of keys or sequence; what every row must hold follows from its key and its sequence.
    let place = |id: u64| id * 7_919 % KEYS;
    let right = |n: &str| format!("pad = repeat(lpad(CAST(id * 100 + {n} AS STRING), 10, '0'), 100)");
    let run = || ["history", "newest"].map(|name| project.run(&["--memory", "64Mi", "--refresh", name]));
    project.land("0.json", (0..KEYS).map(|id| event(place(id), 10)).chain((0..KEYS).map(|id| event(id, 5))));
    run();
    project.land("1.json", (0..KEYS).map(|id| event(place(id), 7)));
    run();
    let history = format!(
        r#"SELECT "__START_AT", "__END_AT", count(*), count(DISTINCT id), count(CASE WHEN {} THEN 1 END) FROM t GROUP BY 1, 2"#,
        right(r#""__START_AT""#)
    );
    let expected = ["10|NULL", "5|7", "7|10"].map(|interval| format!("{interval}|{KEYS}|{KEYS}|{KEYS}"));
    assert_eq!(project.rows("history", &history), expected);
    let newest = format!("SELECT count(*), count(DISTINCT id), count(CASE WHEN {} THEN 1 END) FROM t", right("10"));
    assert_eq!(project.rows("newest", &newest), [format!("{KEYS}|{KEYS}|{KEYS}")]);
}
