//! The shipped example, compared with what the test itself computes from the landed files.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{NaiveDateTime, Timelike};
use serde_json::Value;

use crate::harness::Project;

const TABLES: [&str; 7] =
    ["books_log", "books_per_window", "bronze", "customers_log", "orders_per_day", "orders_quarantine", "orders_silver"];

/// The values of all messages of one topic; a value that is no JSON is `Null`.
fn messages(project: &Project, topic: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for line in lines(&project.path().join("data/landing/kafka-raw-etl")) {
        let message: Value = serde_json::from_str(&line).unwrap();
        if message["topic"] == topic {
            let value = BASE64_STANDARD.decode(message["value"].as_str().unwrap()).unwrap();
            values.push(serde_json::from_slice(&value).unwrap_or(Value::Null));
        }
    }
    values
}

fn lines(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files.flat_map(|text| text.lines().map(str::to_string).collect::<Vec<_>>()).collect()
}

fn sum<'a>(values: impl IntoIterator<Item = &'a Value>, field: &str) -> i64 {
    values.into_iter().filter_map(|value| value[field].as_i64()).sum()
}

fn seconds(order: &Value) -> i64 {
    let text = order["order_timestamp"].as_str().unwrap();
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp()
}

fn is_valid(order: &&Value) -> bool {
    order["quantity"].as_i64().is_some_and(|quantity| quantity > 0)
}

/// Compares every table with the landed messages.
fn assert_tables(project: &Project) {
    assert_bronze_and_silver(project);
    assert_logs(project);
    assert_gold(project);
}

fn assert_bronze_and_silver(project: &Project) {
    let mut topics: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for line in lines(&project.path().join("data/landing/kafka-raw-etl")) {
        let message: Value = serde_json::from_str(&line).unwrap();
        *topics.entry((message["topic"].as_str().unwrap().to_string(), message["partition"].as_i64().unwrap())).or_default() +=
            1 + 1000 * message["offset"].as_i64().unwrap() + message["timestamp"].as_i64().unwrap() / 1000 % 1000;
    }
    let bronze: Vec<String> = topics.into_iter().map(|((topic, partition), sum)| format!("{topic}|{partition}|{sum}")).collect();
    let select = "SELECT topic, partition, sum(1 + 1000 * \"offset\" + CAST(\"timestamp\" AS BIGINT) / 1000000 % 1000) FROM t GROUP BY topic, partition";
    assert_eq!(project.rows("bronze", select), bronze);

    let orders = messages(project, "orders");
    let (valid, invalid): (Vec<&Value>, Vec<&Value>) = orders.iter().partition(is_valid);
    assert!(orders.contains(&Value::Null), "the sample holds a value that is no JSON");
    let counted = |orders: &[&Value]| {
        let customers = orders.iter().filter(|order| order["customer_id"].is_string()).count();
        let quantity = orders.iter().any(|order| order["quantity"].is_i64()).then(|| sum(orders.iter().copied(), "quantity"));
        vec![format!("{}|{customers}|{}|{}", orders.len(), quantity.unwrap(), sum(orders.iter().copied(), "total"))]
    };
    let select = "SELECT count(*), count(customer_id), sum(quantity), sum(total) FROM t";
    assert_eq!(project.rows("orders_silver", select), counted(&valid));
    assert_eq!(project.rows("orders_quarantine", select), counted(&invalid));
    let ids = |orders: &[&Value]| {
        let mut ids: Vec<String> = orders.iter().map(|order| order["order_id"].as_str().unwrap_or("NULL").to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(project.rows("orders_silver", "SELECT order_id FROM t"), ids(&valid));
    assert_eq!(project.rows("orders_quarantine", "SELECT order_id FROM t"), ids(&invalid));
}

fn assert_logs(project: &Project) {
    let books = messages(project, "books");
    let good = |book: &&Value| {
        let in_range = book["price"].as_f64().is_some_and(|price| (0.0..=100.0).contains(&price));
        in_range && book["book_id"].is_string() && book["updated"].as_str().is_some_and(|updated| updated >= "2020-01-01")
    };
    let flagged = books.iter().filter(|book| !good(book)).count();
    let cents: f64 = books.iter().filter_map(|book| book["price"].as_f64()).sum::<f64>() * 100.0;
    assert!(flagged > 0, "the sample holds bad books");
    let select = "SELECT count(*), count(CASE WHEN is_quarantined THEN 1 END), CAST(round(sum(price) * 100) AS BIGINT) FROM t";
    assert_eq!(project.rows("books_log", select), [format!("{}|{flagged}|{}", books.len(), cents.round() as i64)]);

    let countries: BTreeMap<String, String> = lines(&project.path().join("data/landing/country_lookup"))
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|country| (country["code"].as_str().unwrap().to_string(), country["country"].as_str().unwrap().to_string()))
        .collect();
    let mut customers: Vec<String> = messages(project, "customers")
        .iter()
        .map(|customer| {
            let country = customer["country_code"].as_str().and_then(|code| countries.get(code)).map_or("NULL", String::as_str);
            let text = |field: &str| customer[field].as_str().unwrap_or("NULL").to_string();
            format!("{}|{}|{country}|{}", text("customer_id"), text("email"), text("row_status"))
        })
        .collect();
    customers.sort();
    assert_eq!(project.rows("customers_log", "SELECT customer_id, email, country, row_status FROM t"), customers);
}

fn assert_gold(project: &Project) {
    let orders = messages(project, "orders");
    let mut windows: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
    let mut distinct: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for order in orders.iter().filter(is_valid) {
        let time = seconds(order);
        for book in order["books"].as_array().unwrap() {
            let start = (time - 120).div_euclid(300) * 300 + 120;
            let window = windows.entry((book["book_id"].as_str().unwrap().to_string(), start)).or_default();
            *window = (window.0 + 1, window.1 + book["quantity"].as_i64().unwrap());
        }
        let numbers = (time, order["quantity"].as_i64().unwrap(), order["total"].as_i64().unwrap());
        let earlier = distinct.insert(order["order_id"].as_str().unwrap(), numbers);
        assert!(earlier.is_none_or(|earlier| earlier == numbers), "an order comes twice with the same content");
    }
    let mut expected: Vec<String> =
        windows.iter().map(|((book, start), (orders, sold))| format!("{book}|{start}|{}|{orders}|{sold}", start + 300)).collect();
    expected.sort();
    let select =
        "SELECT book_id, CAST(window_start AS BIGINT) / 1000000, CAST(window_end AS BIGINT) / 1000000, orders_count, books_sold FROM t";
    assert_eq!(project.rows("books_per_window", select), expected);

    let mut days: BTreeMap<i64, (i64, i64, i64)> = BTreeMap::new();
    for (time, quantity, total) in distinct.into_values() {
        let day = days.entry(time - time.rem_euclid(86_400)).or_default();
        *day = (day.0 + 1, day.1 + quantity, day.2 + total);
    }
    let expected: Vec<String> = days.iter().map(|(day, (orders, books, revenue))| format!("{day}|{orders}|{books}|{revenue}")).collect();
    let select = "SELECT CAST(order_date AS BIGINT) / 1000000, orders_count, books_count, revenue FROM t";
    assert_eq!(project.rows("orders_per_day", select), expected);
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

#[test]
fn p01_p03_p04_bookstore_runs_green_then_empty_then_only_new_rows() {
    let project = Project::bookstore();
    let first = project.run(&[]);
    assert_eq!(project.versions().into_keys().collect::<Vec<_>>(), TABLES);
    assert_tables(&project);
    assert!(first.stdout.contains("bookstore is up to date: "), "{}", first.stdout);

    let versions = project.versions();
    let second = project.run(&[]);
    assert!(second.stdout.contains("nothing new"), "{}", second.stdout);
    assert_eq!(project.versions(), versions);
    for view in ["books_per_window", "orders_per_day"] {
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
    assert_eq!(chosen(&project, "orders_per_day"), "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE");
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
    let lines: Vec<String> = orders.iter().map(String::as_str).enumerate().map(line).collect();
    project.write("data/landing/kafka-raw-etl/one.json", &(lines.join("\n") + "\n"));
    project.run(&[]);
    let minute = |minute: u32| chrono::NaiveTime::from_hms_opt(10, minute, 0).unwrap().num_seconds_from_midnight();
    let select = "SELECT CAST(window_start AS BIGINT) / 1000000 % 86400, CAST(window_end AS BIGINT) / 1000000 % 86400, orders_count, books_sold FROM t";
    let window = |from: u32, to: u32| format!("{}|{}|1|2", minute(from), minute(to));
    assert_eq!(project.rows("books_per_window", select), [window(2, 7), window(7, 12)]);
    assert_eq!(project.rows("orders_quarantine", "SELECT order_id FROM t"), ["n"]);
    assert_eq!(project.rows("orders_silver", "SELECT order_id FROM t"), ["a", "b"]);
}

#[test]
fn p50_view_expectations_counted_in_consumer() {
    let project = Project::bookstore();
    project.run(&[]);
    let books = messages(&project, "books");
    let bad = books.iter().filter(|book| !book["price"].as_f64().is_some_and(|price| (0.0..=100.0).contains(&price))).count() as u64;
    let counted = project.counted("books_log");
    assert_eq!((counted["valid_price failed"], counted["valid_price passed"]), (bad, books.len() as u64 - bad));
    assert_eq!(counted["dropped_records"], 0);
    let events = project.last_update();
    let expectations = events
        .iter()
        .filter(|event| event.flow == "books_log")
        .filter_map(|event| event.details["data_quality"]["expectations"].as_array());
    let datasets: Vec<&str> = expectations.flatten().map(|expectation| expectation["dataset"].as_str().unwrap()).collect();
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
    assert_eq!(project.states("orders_per_day"), ["EXCLUDED"]);
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
    assert_eq!(columns("orders_per_day"), ["order_date timestamp", "orders_count long", "books_count long", "revenue long"]);
    let silver = ["order_id string", "order_timestamp timestamp", "customer_id string", "quantity long", "total long", "books …"];
    assert_eq!(columns("orders_silver"), silver);
}

#[test]
fn p97_init_templates_pass_validate_and_run() {
    for template in ["empty", "bookstore"] {
        let directory = tempfile::tempdir().unwrap();
        let floe = |command: &str, arguments: &[&str]| {
            let output =
                Command::new(env!("CARGO_BIN_EXE_floe")).arg(command).arg(directory.path().join("p")).args(arguments).output().unwrap();
            assert!(output.status.success(), "{template} {command}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        floe("init", &["--template", template]);
        floe("validate", &["--strict"]);
        floe("run", &[]);
        if template == "empty" {
            let rows = floe("sql", &["--output", "json", "-c", "SELECT page, visits, visitors FROM visits_per_page ORDER BY page"]);
            let expected = serde_json::json!([{"page": "/", "visits": 2, "visitors": 2}, {"page": "/books", "visits": 1, "visitors": 1}]);
            assert_eq!(serde_json::from_str::<Value>(&rows).unwrap(), expected);
        }
        assert!(floe("run", &[]).contains("nothing new"));
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
    assert!(place("bronze") < place("orders_silver") && place("orders_silver") < place("orders_per_day"), "{text}");
    let json: Value = serde_json::from_str(&project.call("graph", &["--format", "json"]).stdout).unwrap();
    for table in TABLES {
        assert!(json.to_string().contains(table), "{table}");
    }
    let explained = Command::new(env!("CARGO_BIN_EXE_floe")).args(["explain", "orders_silver"]).arg(project.path()).output().unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("valid_quantity") && explained.contains("from_json") && explained.contains("bronze"), "{explained}");
    assert_eq!(project.versions(), BTreeMap::new(), "nothing ran");
}
