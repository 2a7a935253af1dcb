//! Properties of journals, what differs from them, and names of snapshots.

use std::collections::BTreeMap;

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};
use datafusion_expr::col;

use super::*;
use crate::function::timestamp_type;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn all_except(columns: &[&str], except: &[&str]) -> ColumnChoice {
    ColumnChoice { columns: names(columns), rule: ChoiceRule::AllExcept(names(except)) }
}

fn named(columns: &[&str]) -> ColumnChoice {
    ColumnChoice { columns: names(columns), rule: ChoiceRule::Named }
}

fn type_2(tracked: ColumnChoice) -> ResolvedAutoCdc {
    ResolvedAutoCdc {
        keys: names(&["id", "shop"]),
        columns: names(&["id", "shop", "name", "city"]),
        source: CdcSource::Stream(CdcEvents { sequence: col("at"), delete_when: None }),
        sequence_type: timestamp_type(),
        scd: ScdType::Two { tracked },
        ignore_null: None,
        order: names(&["__floe_order_1"]),
    }
}

#[test]
fn a_journal_says_what_it_was_made_for() {
    let cdc = ResolvedAutoCdc { ignore_null: Some(named(&["name"])), ..type_2(all_except(&["name"], &["city"])) };
    let expected = [
        ("floe.autocdc.formatVersion", "1"),
        ("floe.autocdc.ignoreNull", r#"{"only":["name"]}"#),
        ("floe.autocdc.keyColumnNames", r#"["id","shop"]"#),
        ("floe.autocdc.scdType", "2"),
        ("floe.autocdc.sequenceType", "TIMESTAMP"),
        ("floe.autocdc.trackHistory", r#"{"except":["city"]}"#),
    ];
    let found = properties(&cdc);
    assert_eq!(found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(drift(&cdc, &found), None);
    let type_1 = ResolvedAutoCdc { scd: ScdType::One { truncate_when: None }, ..type_2(named(&[])) };
    assert_eq!(properties(&type_1)["floe.autocdc.trackHistory"], "null");
    assert_eq!(drift(&type_1, &properties(&type_1)), None);
}

/// Class and message without the part that all have.
fn drifted(cdc: &ResolvedAutoCdc, stored: &ResolvedAutoCdc) -> (String, String) {
    let found = drift(cdc, &properties(stored)).unwrap();
    (found.class, found.message)
}

#[test]
fn c50_each_drift_has_its_class() {
    let stored = type_2(all_except(&["name", "city"], &[]));
    let history = |tracked| type_2(tracked);
    for (now, class, message) in [
        (
            ResolvedAutoCdc { keys: names(&["id"]), ..stored.clone() },
            "KEY_SCHEMA_DRIFT",
            "KEYS differs from what the journal was made for: stored [id, shop], now [id]",
        ),
        (
            ResolvedAutoCdc { scd: ScdType::One { truncate_when: None }, ..stored.clone() },
            "SCD_TYPE_DRIFT",
            "STORED AS SCD TYPE differs from what the journal was made for: stored [2], now [1]",
        ),
        (
            ResolvedAutoCdc { sequence_type: DataType::Int64, ..stored.clone() },
            "SEQUENCING_TYPE_DRIFT",
            "the type of SEQUENCE BY differs from what the journal was made for: stored [TIMESTAMP], now [BIGINT]",
        ),
        (
            history(all_except(&["name"], &["city"])),
            "TRACK_HISTORY_DRIFT",
            "TRACK HISTORY ON differs from what the journal was made for: stored [*], now [* EXCEPT (city)]",
        ),
        (
            history(named(&["name", "city"])),
            "TRACK_HISTORY_DRIFT",
            "TRACK HISTORY ON differs from what the journal was made for: stored [*], now [name, city]",
        ),
        (
            ResolvedAutoCdc { ignore_null: Some(all_except(&["name", "city"], &[])), ..stored.clone() },
            "IGNORE_NULL_DRIFT",
            "IGNORE NULL UPDATES differs from what the journal was made for: stored [nothing], now [*]",
        ),
    ] {
        assert_eq!(drifted(&now, &stored), (format!("AUTOCDC_INVALID_STATE.{class}"), message.to_string()));
    }
}

#[test]
fn what_means_the_same_is_no_drift() {
    let stored = type_2(all_except(&["name"], &["city"]));
    let spelled = ResolvedAutoCdc { keys: names(&["Shop", "ID"]), ..type_2(all_except(&["name"], &["CITY"])) };
    assert_eq!(drift(&spelled, &properties(&stored)), None);
    // C51: another expression of the same type.
    let sequence = CdcSource::Stream(CdcEvents { sequence: col("other"), delete_when: Some(col("gone")) });
    assert_eq!(drift(&ResolvedAutoCdc { source: sequence, ..stored.clone() }, &properties(&stored)), None);
    // The source has a new column, and has lost one that was left out.
    let grown = ResolvedAutoCdc { columns: names(&["id", "shop", "name", "mail"]), ..type_2(all_except(&["name", "mail"], &[])) };
    assert_eq!(drift(&grown, &properties(&stored)), None);
    let structs = |name: &str| DataType::Struct(vec![Field::new(name, DataType::Int64, true)].into());
    let stored = ResolvedAutoCdc { sequence_type: structs("a"), ..stored };
    assert_eq!(drift(&ResolvedAutoCdc { sequence_type: structs("A"), ..stored.clone() }, &properties(&stored)), None);
}

#[test]
fn properties_that_cannot_be_read_are_named() {
    let cdc = type_2(all_except(&["name", "city"], &[]));
    for key in properties(&cdc).keys() {
        let mut without = properties(&cdc);
        without.remove(key);
        let found = drift(&cdc, &without).unwrap();
        assert_eq!(found.class, "AUTOCDC_INVALID_STATE.PROPERTY_MISSING");
        assert_eq!(found.message, format!("the journal lacks its property {key}"));
        let mut broken: BTreeMap<String, String> = properties(&cdc);
        broken.insert(key.clone(), "[1".to_string());
        let found = drift(&cdc, &broken).unwrap();
        assert_eq!(found.class, "AUTOCDC_INVALID_STATE.PROPERTY_MALFORMED", "{key}");
        assert!(found.message.starts_with(&format!("the property {key} of the journal cannot be read: ")), "{}", found.message);
    }
    let mut newer = properties(&cdc);
    newer.insert("floe.autocdc.formatVersion".to_string(), "2".to_string());
    assert!(drift(&cdc, &newer).unwrap().message.ends_with("the journal has format 2; this release knows format 1"));
}

#[test]
fn names_of_snapshots_have_one_time_or_number() {
    let time = |text: &str| {
        let nanos = datafusion_common::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).unwrap();
        Some(ScalarValue::TimestampMicrosecond(Some(nanos / 1000), Some("UTC".into())))
    };
    for (name, expected) in [
        ("2024-01-31", time("2024-01-31T00:00:00Z")),
        ("customers_2024_01_31.json", time("2024-01-31T00:00:00Z")),
        ("date=20240131", time("2024-01-31T00:00:00Z")),
        ("part-0001-20240131.parquet", time("2024-01-31T00:00:00Z")),
        ("2024-01-31T10:30:05Z", time("2024-01-31T10:30:05Z")),
        ("2024-01-31_10-30-05.json", time("2024-01-31T10:30:05Z")),
        ("2024-01-31 10:30:05.25.csv", time("2024-01-31T10:30:05.25Z")),
        ("20240131T103005.json.gz", time("2024-01-31T10:30:05Z")),
        ("20240131103005", time("2024-01-31T10:30:05Z")),
        ("snapshot-7", Some(ScalarValue::Int64(Some(7)))),
        ("v0012.json", Some(ScalarValue::Int64(Some(12)))),
        ("1700000000", Some(ScalarValue::Int64(Some(1_700_000_000)))),
        // No date of the calendar.
        ("20241331", Some(ScalarValue::Int64(Some(20_241_331)))),
        ("2024-01-31_to_2024-02-01", None),
        ("v1-7", None),
        ("latest", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(snapshot_value(name), expected, "{name}");
    }
    assert_eq!(snapshot_type(["readme", "v1", "v2"].into_iter()), DataType::Int64);
    assert_eq!(snapshot_type(["2024-01-01"].into_iter()), timestamp_type());
    assert_eq!(snapshot_type([].into_iter()), timestamp_type());
}
