//! The shipped example: its tables equal the golden files, and plain SQL over all messages confirms them.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Timelike;
use serde_json::Value;

use crate::{
    golden::{assert_kept, assert_same, content, golden, lines_of},
    harness::Project,
};

const TABLES: [&str; 9] = [
    "authors_stats",
    "books_sales",
    "books_silver",
    "bronze",
    "countries_stats",
    "current_books",
    "customers_silver",
    "orders_quarantine",
    "orders_silver",
];

/// All tables but the first, which is compared with the landed files.
fn refined() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().filter(|table| *table != "bronze")
}

/// Every table is what plain SQL over all messages gives.
fn assert_tables(project: &Project) {
    assert_bronze(project);
    for table in refined() {
        let batch = fs::read_to_string(golden("bookstore", table, "sql")).unwrap();
        assert_same(&content(project, table), &lines_of(project, &batch), table);
    }
}

/// Every table is as it was when somebody looked at it.
fn assert_golden(project: &Project) {
    for table in refined() {
        assert_kept("bookstore", table, &content(project, table));
    }
}

/// The values of all messages of one topic; a value that is no JSON is `Null`.
fn messages(project: &Project, topic: &str) -> Vec<Value> {
    let decoded = landed(project).into_iter().filter(|message| message["topic"] == topic).map(|message| {
        let value = BASE64_STANDARD.decode(message["value"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&value).unwrap_or(Value::Null)
    });
    decoded.collect()
}

fn landed(project: &Project) -> Vec<Value> {
    let files = fs::read_dir(project.path().join("data/landing/kafka-raw-etl")).unwrap();
    let texts = files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()).collect()
}

/// Every landed message is one row, whatever it holds.
fn assert_bronze(project: &Project) {
    let mut topics: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for message in landed(project) {
        *topics.entry((message["topic"].as_str().unwrap().to_string(), message["partition"].as_i64().unwrap())).or_default() +=
            1 + 1000 * message["offset"].as_i64().unwrap() + message["timestamp"].as_i64().unwrap() / 1000 % 1000;
    }
    let bronze: Vec<String> = topics.into_iter().map(|((topic, partition), sum)| format!("{topic}|{partition}|{sum}")).collect();
    let select = "SELECT topic, partition, sum(1 + 1000 * \"offset\" + CAST(\"timestamp\" AS BIGINT) / 1000000 % 1000) FROM t GROUP BY topic, partition";
    assert_eq!(project.rows("bronze", select), bronze);
}

/// What makes the sample worth its name.
#[test]
fn the_sample_is_as_dirty_as_real_data() {
    let project = Project::bookstore();
    assert!(messages(&project, "orders").contains(&Value::Null), "a value that is no JSON");
    let changes = messages(&project, "customers");
    let text = |change: &Value, field: &str| change[field].as_str().unwrap_or_default().to_string();
    assert!(changes.iter().any(|change| change["row_status"] == "delete"), "deletes");
    let late = changes.windows(2).filter(|pair| text(&pair[1], "row_time") < text(&pair[0], "row_time")).count();
    assert!(late > 50, "changes that come late: {late}");
    let mut moments: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for change in &changes {
        moments.entry((text(change, "customer_id"), text(change, "row_time"))).or_default().push(change.to_string());
    }
    let repeated = moments.values().filter(|changes| changes.len() > 1 && changes.iter().all(|change| *change == changes[0])).count();
    let tied = moments.values().filter(|changes| changes.iter().any(|change| *change != changes[0])).count();
    assert!(repeated > 3 && tied > 3, "{repeated} repeated, {tied} tied");
}

/// Lands a file with five orders, one of them invalid.
fn land_five_orders(project: &Project) {
    let order = |number: i64| {
        let quantity = if number == 3 { -1 } else { number };
        let value = format!(
            r#"{{"order_id":"new-{number}","order_timestamp":"2024-02-01 10:0{number}:00","customer_id":"C1","quantity":{quantity},"total":10,"books":[{{"book_id":"B01","quantity":{number},"subtotal":10}}]}}"#
        );
        let value = BASE64_STANDARD.encode(value);
        format!(r#"{{"key":"","value":"{value}","topic":"orders","partition":0,"offset":{},"timestamp":1706781600000}}"#, 9000 + number)
    };
    let lines: Vec<String> = (1..=5).map(order).collect();
    project.write("data/landing/kafka-raw-etl/zz-new.json", &(lines.join("\n") + "\n"));
}

/// The same pipeline as manifests: the graph is the same one, so an update that was begun with SQL files goes on.
#[test]
fn p07_manifests_equal_sql() {
    let project = Project::bookstore();
    let graph = |project: &Project| {
        let ended = project.call("graph", &["--format", "json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let from_sql = graph(&project);
    project.run(&[]);
    let versions = project.versions();
    fs::remove_dir_all(project.path().join("transformations")).unwrap();
    project.write("transformations/tables.yaml", include_str!("../fixtures/bookstore-tables.yaml"));
    assert_eq!(graph(&project), from_sql);
    project.run(&[]);
    assert_eq!(project.versions(), versions, "nothing is new");
    assert_tables(&project);
}

/// The same files in the opposite order, an update for each.
#[test]
fn p05_file_order_is_irrelevant_for_cdc() {
    let project = Project::bookstore();
    project.run(&[]);
    let tables = ["customers_silver", "books_silver", "current_books"];
    let expected = tables.map(|table| content(&project, table));

    let reversed = Project::bookstore();
    let landing = reversed.path().join("data/landing/kafka-raw-etl");
    let stage = reversed.path().join("stage");
    fs::rename(&landing, &stage).unwrap();
    fs::create_dir(&landing).unwrap();
    let mut files: Vec<_> = fs::read_dir(&stage).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files.len(), 4);
    for file in files.iter().rev() {
        fs::rename(stage.join(file), landing.join(file)).unwrap();
        reversed.run(&[]);
    }
    for (table, expected) in tables.into_iter().zip(expected) {
        assert_same(&content(&reversed, table), &expected, table);
    }
}

#[test]
fn p06_statements_in_any_order() {
    let project = Project::bookstore();
    let graph = |project: &Project| project.call("graph", &["--format", "json"]).stdout;
    let in_order = graph(&project);
    let folder = project.path().join("transformations");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    let mut statements: Vec<&str> = text.split(";\n").filter(|statement| !statement.trim().is_empty()).collect();
    assert!(statements.len() > 12, "{statements:#?}");
    for _ in 0..3 {
        // Another order each time, the same in each run.
        statements.reverse();
        statements.rotate_left(5);
        project.write("transformations/all.sql", &(statements.join(";\n") + ";\n"));
        assert_eq!(graph(&project), in_order);
    }
}

#[test]
fn p01_p03_p04_bookstore_runs_green_then_empty_then_only_new_rows() {
    let project = Project::bookstore();
    let first = project.run(&[]);
    assert_eq!(project.versions().into_keys().collect::<Vec<_>>(), TABLES);
    assert_tables(&project);
    assert_golden(&project);
    assert!(first.stdout.contains("bookstore is up to date: "), "{}", first.stdout);

    let versions = project.versions();
    let second = project.run(&[]);
    assert!(second.stdout.contains("nothing new"), "{}", second.stdout);
    assert_eq!(project.versions(), versions);
    for view in ["current_books", "authors_stats", "countries_stats"] {
        assert_eq!(project.states(view), ["QUEUED", "PLANNING", "COMPLETED"]);
        assert_eq!(chosen(&project, view), "MAINTENANCE_TYPE_NO_OP");
    }
    assert_eq!(project.counted("bronze")["num_output_rows"], 0);

    let bronze: usize = project.rows("bronze", "SELECT 1 FROM t").len();
    land_five_orders(&project);
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT 1 FROM t").len(), bronze + 5);
    assert_eq!(project.counted("bronze")["num_input_rows"], 5);
    let orders = project.counted("orders_silver");
    assert_eq!((orders["num_output_rows"], orders["dropped_records"], orders["valid_quantity failed"]), (4, 1, 1));
    let new = ["new-1|1", "new-2|2", "new-4|4", "new-5|5"];
    assert_eq!(project.rows("orders_silver", "SELECT order_id, quantity FROM t WHERE order_id LIKE 'new%'"), new);
    assert_eq!(chosen(&project, "countries_stats"), "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE");
    assert_tables(&project);
}

/// The maintenance type that the newest update chose for a view; exactly one must be chosen.
fn chosen(project: &Project, view: &str) -> String {
    let events = project.last_update();
    let plans: Vec<_> = events.iter().filter(|event| event.kind == "planning_information" && event.flow == view).collect();
    assert_eq!(plans.len(), 1, "one plan per view and refresh");
    let techniques = plans[0].details["technique_information"].as_array().unwrap().clone();
    let recompute = techniques.iter().find(|technique| technique["maintenance_type"] == "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE");
    assert_eq!(recompute.unwrap()["is_applicable"], true);
    let chosen: Vec<_> = techniques.iter().filter(|technique| technique["is_chosen"] == true).collect();
    assert_eq!(chosen.len(), 1, "{techniques:#?}");
    chosen[0]["maintenance_type"].as_str().unwrap().to_string()
}

#[test]
fn p38_window_with_offset_and_p49_handwritten_quarantine_complement() {
    let project = Project::bookstore();
    fs::remove_dir_all(project.path().join("data/landing/kafka-raw-etl")).unwrap();
    let line = |(offset, value): (usize, &str)| {
        let value = BASE64_STANDARD.encode(value);
        format!(r#"{{"value":"{value}","topic":"orders","partition":0,"offset":{offset},"timestamp":1704067200000}}"#)
    };
    let books = r#""books":[{"book_id":"B1","quantity":2,"subtotal":4}]"#;
    let orders = [
        format!(r#"{{"order_id":"a","order_timestamp":"2024-01-01 10:06:59","quantity":2,"total":4,{books}}}"#),
        format!(r#"{{"order_id":"b","order_timestamp":"2024-01-01 10:07:00","quantity":2,"total":4,{books}}}"#),
        format!(r#"{{"order_id":"n","order_timestamp":"2024-01-01 10:07:00","quantity":null,"total":4,{books}}}"#),
    ];
    let mut lines: Vec<String> = orders.iter().map(String::as_str).enumerate().map(line).collect();
    let book = r#"{"book_id":"B1","title":"T","author":"A","price":2,"updated":"2024-01-01 09:00:00.000"}"#;
    lines.push(line((9, book)).replace("orders", "books"));
    project.write("data/landing/kafka-raw-etl/one.json", &(lines.join("\n") + "\n"));
    project.run(&[]);
    let minute = |minute: u32| chrono::NaiveTime::from_hms_opt(10, minute, 0).unwrap().num_seconds_from_midnight();
    let select = "SELECT CAST(window_start AS BIGINT) / 1000000 % 86400, CAST(window_end AS BIGINT) / 1000000 % 86400, orders_count, avg_quantity FROM t";
    let window = |from: u32, to: u32| format!("{}|{}|1|2.0", minute(from), minute(to));
    assert_eq!(project.rows("authors_stats", select), [window(2, 7), window(7, 12)]);
    assert_eq!(project.rows("orders_quarantine", "SELECT order_id FROM t"), ["n"]);
    assert_eq!(project.rows("orders_silver", "SELECT order_id FROM t"), ["a", "b"]);
}

#[test]
fn p51_is_quarantined_flag() {
    let project = Project::bookstore();
    fs::remove_dir_all(project.path().join("data/landing/kafka-raw-etl")).unwrap();
    let line = |(offset, (id, price)): (usize, (&str, u32))| {
        let book = format!(r#"{{"book_id":"{id}","title":"T","author":"A","price":{price},"updated":"2024-01-01 09:00:00.000"}}"#);
        let value = BASE64_STANDARD.encode(book);
        format!(r#"{{"value":"{value}","topic":"books","partition":0,"offset":{offset},"timestamp":1704067200000}}"#)
    };
    let lines: Vec<String> = [("cheap", 20), ("dear", 500)].into_iter().enumerate().map(line).collect();
    project.write("data/landing/kafka-raw-etl/one.json", &(lines.join("\n") + "\n"));
    project.run(&[]);
    assert_eq!(project.rows("books_silver", "SELECT book_id, is_quarantined FROM t"), ["cheap|false", "dear|true"]);
    assert_eq!(project.rows("current_books", "SELECT book_id FROM t"), ["cheap"]);
}

#[test]
fn p50_view_expectations_counted_in_consumer() {
    let project = Project::bookstore();
    project.run(&[]);
    let books = messages(&project, "books");
    let bad = books.iter().filter(|book| !book["price"].as_f64().is_some_and(|price| (0.0..=100.0).contains(&price))).count() as u64;
    let counted = project.counted("books_silver");
    assert_eq!((counted["valid_price failed"], counted["valid_price passed"]), (bad, books.len() as u64 - bad));
    let without_key = books.iter().filter(|book| book["book_id"].is_null()).count() as u64;
    assert_eq!(counted["dropped_records"], without_key, "the rule of the table drops, those of the view count");
    let events = project.last_update();
    let expectations = events
        .iter()
        .filter(|event| event.flow == "books_silver")
        .filter_map(|event| event.details["data_quality"]["expectations"].as_array());
    let of_view = |name: &str| ["recent_updates", "valid_price", "valid_id"].contains(&name);
    let counted = expectations.flatten().filter(|expectation| of_view(expectation["name"].as_str().unwrap()));
    let datasets: Vec<&str> = counted.map(|expectation| expectation["dataset"].as_str().unwrap()).collect();
    assert!(!datasets.is_empty() && datasets.iter().all(|dataset| dataset.ends_with("books_raw")), "{datasets:?}");
}

#[test]
fn p67_full_refresh_all_spares_protected() {
    let project = Project::bookstore();
    project.run(&[]);
    let bronze = project.version("bronze");
    let others: Vec<_> = TABLES.iter().filter(|name| **name != "bronze").map(|name| (*name, project.version(name))).collect();
    project.run(&["--full-refresh-all"]);
    assert_eq!(project.version("bronze"), bronze);
    for (name, version) in others {
        assert!(project.version(name) > version, "{name} was rebuilt");
    }
    let spared = project.last_update().into_iter().find(|event| event.level == "INFO" && event.message.contains("reset.allowed"));
    assert!(spared.is_some_and(|event| event.message.contains("bronze")));
    assert_tables(&project);
}

#[test]
fn p68_full_refresh_of_protected_is_refused() {
    let project = Project::bookstore();
    project.run(&[]);
    let versions = project.versions();
    project.refused("run", &["--full-refresh", "bronze"], 10, "RESET_NOT_ALLOWED");
    assert_eq!(project.versions(), versions);
    project.refused("run", &["--refresh", "nope"], 10, "UNKNOWN_DATASET_IN_SELECTION");
    assert_eq!(project.versions(), versions);
}

#[test]
fn p71_selective_refresh_excludes_the_rest() {
    let project = Project::bookstore();
    project.run(&[]);
    let before = project.versions();
    land_five_orders(&project);
    project.run(&["--refresh", "orders_silver"]);
    assert_eq!(project.versions(), before, "bronze was not read from files, so there is nothing new for orders_silver");
    assert_eq!(project.states("bronze"), ["EXCLUDED"]);
    assert_eq!(project.states("countries_stats"), ["EXCLUDED"]);
    assert_eq!(project.states("orders_silver").last().unwrap(), "COMPLETED");
    project.run(&["--refresh", "bronze"]);
    project.run(&["--refresh", "orders_silver"]);
    let changed: Vec<String> =
        project.versions().into_iter().filter(|(name, version)| before[name] != *version).map(|(name, _)| name).collect();
    assert_eq!(changed, ["bronze", "orders_silver"]);
}

#[test]
fn p94_dry_run_writes_nothing() {
    let project = Project::bookstore();
    let dry = project.run(&["--dry-run"]);
    assert!(dry.stdout.contains("create") && dry.stdout.contains("orders_silver"), "{}", dry.stdout);
    assert!(dry.stdout.contains("nothing was written"), "{}", dry.stdout);
    let json: serde_json::Value = serde_json::from_str(&project.run(&["--dry-run", "--output", "json"]).stdout).unwrap();
    assert_eq!((&json["pipeline"], &json["changes"][0]["change"]), (&"bookstore".into(), &"create".into()), "{json}");
    assert_eq!(project.versions(), BTreeMap::new());
    project.run(&[]);
    let versions = project.versions();
    land_five_orders(&project);
    project.run(&["--dry-run"]);
    assert_eq!(project.versions(), versions);
    project.run(&[]);
    assert_eq!(project.counted("bronze")["num_output_rows"], 5);
}

#[test]
fn p99_tables_are_plain_delta() {
    let project = Project::bookstore();
    project.run(&[]);
    for table in TABLES {
        let first = project.commit(table, 0);
        let protocol = first.iter().find_map(|action| action.get("protocol")).unwrap();
        assert_eq!((&protocol["minReaderVersion"], &protocol["minWriterVersion"]), (&1.into(), &2.into()), "{table}: {protocol}");
        assert_eq!((protocol.get("readerFeatures"), protocol.get("writerFeatures")), (None, None));
    }
    let columns = |table: &str| {
        let first = project.commit(table, 0);
        let schema = first.iter().find_map(|action| action.get("metaData")).unwrap()["schemaString"].as_str().unwrap().to_string();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let fields = schema["fields"].as_array().unwrap().iter();
        fields.map(|field| format!("{} {}", field["name"].as_str().unwrap(), field["type"].as_str().unwrap_or("…"))).collect::<Vec<_>>()
    };
    let bronze =
        ["key binary", "value binary", "topic string", "partition long", "offset long", "timestamp timestamp", "year_month string"];
    assert_eq!(columns("bronze"), bronze);
    assert_eq!(columns("countries_stats"), ["country string", "order_date timestamp", "orders_count long", "books_count long"]);
    let books = [
        "book_id string",
        "title string",
        "author string",
        "price double",
        "is_quarantined boolean",
        "__START_AT timestamp",
        "__END_AT timestamp",
    ];
    assert_eq!(columns("books_silver"), books);
    let silver = ["order_id string", "order_timestamp timestamp", "customer_id string", "quantity long", "total long", "books …"];
    assert_eq!(columns("orders_silver"), silver);
}

#[test]
fn p97_init_templates_pass_validate_and_run() {
    for template in ["empty", "bookstore", "gym"] {
        let directory = tempfile::tempdir().unwrap();
        let floe = |command: &str, arguments: &[&str]| {
            let output =
                Command::new(env!("CARGO_BIN_EXE_floe")).arg(command).arg(directory.path().join("p")).args(arguments).output().unwrap();
            assert!(output.status.success(), "{template} {command}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        floe("init", &["--template", template]);
        // The gym has old spellings on purpose.
        floe("validate", if template == "gym" { &[] } else { &["--strict"] });
        floe("run", &[]);
        if template == "empty" {
            let rows = floe("sql", &["--output", "json", "-c", "SELECT page, visits, visitors FROM visits_per_page ORDER BY page"]);
            let expected = serde_json::json!([{"page": "/", "visits": 2, "visitors": 2}, {"page": "/books", "visits": 1, "visitors": 1}]);
            assert_eq!(serde_json::from_str::<Value>(&rows).unwrap(), expected);
        }
        let again = floe("run", &[]);
        // The ages of the gym are those of today, and computed anew.
        assert!(template == "gym" || again.contains("nothing new"), "{again}");
    }
}

#[test]
fn graph_and_explain_show_the_pipeline() {
    let project = Project::bookstore();
    let mermaid = project.call("graph", &["--format", "mermaid"]).stdout;
    assert!(mermaid.starts_with("flowchart") && mermaid.contains("orders_silver"), "{mermaid}");
    let dot = project.call("graph", &["--format", "dot"]).stdout;
    assert!(dot.starts_with("digraph") && dot.contains("->"), "{dot}");
    let text = project.call("graph", &["--format", "text"]).stdout;
    let place = |name: &str| text.find(name).unwrap_or_else(|| panic!("{name} is missing in {text}"));
    assert!(place("bronze") < place("orders_silver") && place("orders_silver") < place("countries_stats"), "{text}");
    let json: Value = serde_json::from_str(&project.call("graph", &["--format", "json"]).stdout).unwrap();
    for table in TABLES {
        assert!(json.to_string().contains(table), "{table}");
    }
    let explained = Command::new(env!("CARGO_BIN_EXE_floe")).args(["explain", "orders_silver"]).arg(project.path()).output().unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("valid_quantity") && explained.contains("from_json") && explained.contains("bronze"), "{explained}");
    assert_eq!(project.versions(), BTreeMap::new(), "nothing ran");
}
