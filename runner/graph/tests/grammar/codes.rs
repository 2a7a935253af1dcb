//! The examples of the list of error classes give the classes that they stand with.

use floe_graph::code;

use crate::case::Case;

const ORDERS: &str =
    "-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)\n";

#[test]
fn every_example_gives_its_class() {
    let mut wrong = Vec::new();
    let mut examples = 0;
    for (name, example) in code::all().filter_map(|(name, code)| Some((name, code.example?))) {
        examples += 1;
        let classes = Case::new("example.sql", &format!("{ORDERS}{example}\n")).classes();
        if !classes.iter().any(|class| class == name) {
            wrong.push(format!("{name}: {classes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(examples > 80, "{examples} examples");
}
