//! The two pipelines of the specification, and input that nobody means.

use proptest::prelude::*;

use super::*;

const BOOKSTORE: &str = include_str!("../../../../tests/projects/bookstore.sql");
const GYM: &str = concat!(
    include_str!("../../../../../../examples/gym/transformations/bronze.sql"),
    include_str!("../../../../../../examples/gym/transformations/bpm.sql"),
    include_str!("../../../../../../examples/gym/transformations/workouts.sql"),
    include_str!("../../../../../../examples/gym/transformations/users.sql"),
    include_str!("../../../../../../examples/gym/transformations/gold.sql"),
);

#[test]
fn the_bookstore_is_read() {
    let out = read(BOOKSTORE);
    assert_eq!((out.diagnostics.len(), out.incomplete.len()), (0, 0), "{:?}", out.diagnostics);
    let names: Vec<_> = out.datasets.iter().map(|dataset| dataset.name.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "bronze",
            "country_lookup",
            "orders_raw",
            "orders_silver",
            "orders_quarantine",
            "books_raw",
            "customers_cdc",
            "customers_silver",
            "books_silver",
            "current_books",
            "books_sales",
            "authors_stats",
            "countries_stats"
        ]
    );
    let kinds = |kind: fn(&FlowKind) -> bool| out.flows.iter().filter(|flow| kind(&flow.kind)).count();
    assert_eq!(kinds(|kind| matches!(kind, FlowKind::AutoCdc(_))), 2);
    assert_eq!(kinds(|kind| *kind == FlowKind::View), 4);
    assert_eq!(kinds(|kind| *kind == FlowKind::Complete), 3);
    assert_eq!(kinds(|kind| *kind == FlowKind::Append), 4);
    let sales = out.datasets.iter().find(|dataset| dataset.name.name == "books_sales").unwrap();
    assert_eq!(
        sales.expectations.iter().map(|e| e.action).collect::<Vec<_>>(),
        [ExpectationAction::Drop, ExpectationAction::Fail, ExpectationAction::Warn]
    );
}

#[test]
fn the_gym_is_read() {
    let out = read(GYM);
    let found: Vec<_> = out.diagnostics.iter().map(|found| format!("{} {}", found.class, found.message)).collect();
    assert_eq!(found, ["W001 APPLY CHANGES INTO is legacy syntax", "W001 LIVE. is legacy syntax", "W001 LIVE. is legacy syntax",]);
    assert!(out.incomplete.is_empty());
    assert_eq!((out.datasets.len(), out.flows.len()), (20, 20));
    let scd2 = out.flows.iter().find(|flow| flow.name == "SCD2_users").unwrap();
    assert!(matches!(&scd2.kind, FlowKind::AutoCdc(cdc) if cdc.scd_type == 2));
}

#[test]
fn p06_statements_in_any_order() {
    let backwards: Vec<&str> = scan::pieces(BOOKSTORE).into_iter().rev().map(|piece| &BOOKSTORE[piece.code]).collect();
    assert_eq!(shape(&read(&backwards.join(";\n"))), shape(&read(BOOKSTORE)));
}

/// Reads as everything that can be read; the result does not matter.
fn read_all(text: &str) {
    let file = SourceFile::new("a.sql", text);
    let configuration = Configuration::new(BTreeMap::from([("a".to_string(), "x'; SELECT ${b}".to_string())]), BTreeMap::new());
    let mut out = Definitions::default();
    parse_sql(&file, &namespace(), &configuration, &mut out);
    let mut sources = crate::origin::Sources::default();
    sources.insert("a.sql", text);
    let rendered = crate::origin::render(&out.diagnostics, &sources, false);
    assert_eq!(rendered.is_empty(), out.diagnostics.is_empty());
    for found in &out.diagnostics {
        let origin = found.origin.as_ref().expect("every finding has a place");
        let line = text.split('\n').nth(origin.line as usize - 1).expect("the line exists");
        assert!(origin.column as usize <= line.chars().count() + 1, "{found}");
    }
    let _ = parse_query(&file, &namespace(), &configuration);
    let _ = parse_expression(text, "a.sql");
}

/// What statements are made of, and what breaks them.
fn scraps() -> impl Strategy<Value = String> {
    const SCRAPS: [&str; 64] = [
        "CREATE",
        "OR REFRESH",
        "STREAMING TABLE",
        "MATERIALIZED VIEW",
        "TEMPORARY VIEW",
        "LIVE",
        "LIVE.",
        "FLOW",
        "AS",
        "AUTO CDC",
        "INTO",
        "FROM",
        "STREAM",
        "STREAM(",
        "read_files(",
        "cloud_files(",
        "map(",
        "=>",
        "KEYS",
        "(",
        ")",
        "SEQUENCE BY",
        "COLUMNS",
        "* EXCEPT",
        "STORED AS SCD TYPE 2",
        "CONSTRAINT",
        "EXPECT",
        "ON VIOLATION",
        "DROP ROW",
        "QUARANTINE ROW INTO",
        "TBLPROPERTIES",
        "COMMENT",
        "'x'",
        "\"y\"",
        "`z`",
        "'",
        "\"",
        "`",
        "\\",
        "/*",
        "*/",
        "--",
        "\n",
        ";",
        ",",
        ".",
        "${a}",
        "${b}",
        "$${",
        "${",
        "SELECT",
        "1",
        "a",
        "é",
        "WATERMARK",
        "DELAY OF",
        "VERSION AS OF",
        "json.`p`",
        "SET k = v;",
        "USE",
        "CASE WHEN",
        "<",
        ">>",
        "::",
    ];
    prop::collection::vec(prop::sample::select(&SCRAPS[..]), 0..40).prop_map(|scraps| scraps.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scraps_of_statements_never_panic(text in scraps()) {
        read_all(&text);
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,60}") {
        read_all(&text);
    }

    #[test]
    fn a_broken_statement_never_panics(cut in 0_usize..12_000, length in 0_usize..40, filling in scraps(), gym in any::<bool>()) {
        let text = if gym { GYM } else { BOOKSTORE };
        let mut from = cut % text.len();
        while !text.is_char_boundary(from) { from -= 1; }
        let mut to = (from + length).min(text.len());
        while !text.is_char_boundary(to) { to -= 1; }
        // One statement around the cut is enough.
        let start = text[..from].rfind(";\n").map_or(0, |at| at + 2);
        let end = text[to..].find(";\n").map_or(text.len(), |at| to + at + 2);
        read_all(&format!("{}{filling}{}", &text[start..from], &text[to..end]));
    }
}
