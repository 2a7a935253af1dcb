//! Types that become wider in every format that has types of its own, and within maps.

use std::{fs, sync::Arc};

use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, Int16Array, Int32Builder, Int64Builder, MapBuilder, RecordBatch};
use orc_rust::arrow_writer::ArrowWriterBuilder;
use serde_json::{Value, json};

use crate::{
    harness::Project,
    type_widening::{MODE, ints, land, longs, read, rewrites, types},
};

fn project(format: &str) -> Project {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => '{format}', {MODE});
        CREATE OR REFRESH STREAMING TABLE silver AS SELECT id, price FROM STREAM(t);"
    );
    Project::new(&[("t.sql", &sql)])
}

/// Bytes as Avro writes them.
#[derive(Default)]
struct Avro(Vec<u8>);

impl Avro {
    fn long(mut self, value: i64) -> Self {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.0.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        self.0.push(u8::try_from(rest).unwrap());
        self
    }

    fn plain(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        self.long(i64::try_from(bytes.len()).unwrap()).plain(bytes)
    }

    /// A file of one block with one record of these fields.
    fn land(self, project: &Project, name: &str, fields: &Value) {
        const MARKER: &[u8; 16] = b"0123456789abcdef";
        let schema = json!({"type": "record", "name": "r", "fields": fields}).to_string();
        let head = Self::default().plain(b"Obj\x01").long(2).bytes(b"avro.schema").bytes(schema.as_bytes());
        let head = head.bytes(b"avro.codec").bytes(b"null").long(0).plain(MARKER);
        let file = head.long(1).bytes(&self.0).plain(MARKER);
        let path = project.path().join("landing").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.0).unwrap();
    }
}

/// The fields of a record: whole numbers of one type, others of another one, a decimal.
fn fields(whole: &str, real: &str, decimal: &Value) -> Value {
    let place = json!({"type": "record", "name": "place", "fields": [{"name": "zip", "type": whole}]});
    json!([
        {"name": "id", "type": ["null", whole]},
        {"name": "price", "type": real},
        {"name": "d", "type": decimal},
        {"name": "place", "type": place},
        {"name": "l", "type": {"type": "array", "items": whole}},
        {"name": "m", "type": {"type": "map", "values": whole}}
    ])
}

fn record(number: i64, real: &[u8], decimal: &[u8]) -> Avro {
    let start = Avro::default().long(1).long(number).plain(real).bytes(decimal).long(number);
    start.long(1).long(number).long(0).long(1).bytes(b"k").long(number).long(0)
}

#[test]
fn p60_types_of_avro_files_widen() {
    let project = project("avro");
    let decimal = |precision: u8, scale: u8| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    record(7, &1.5_f32.to_le_bytes(), &150_i16.to_be_bytes()).land(&project, "1.avro", &fields("int", "float", &decimal(5, 2)));
    project.run(&[]);
    let large = 1_i64 << 40;
    record(large, &1e300_f64.to_le_bytes(), &12_345_678_901_i64.to_be_bytes()).land(
        &project,
        "2.avro",
        &fields("long", "double", &decimal(12, 3)),
    );
    project.run(&[]);
    let of_schema = "SELECT id, price, d, place['zip'] AS zip, l[0] AS l, m['k'] AS m, _rescued_data AS r FROM t ORDER BY id";
    assert_eq!(
        project.sql(of_schema),
        json!([
            {"id": 7, "price": 1.5, "d": 1.5, "zip": 7, "l": 7, "m": 7, "r": null},
            {"id": large, "price": 1e300, "d": 12_345_678.901, "zip": large, "l": large, "m": large, "r": null},
        ])
    );
    assert_eq!((rewrites(&project, "t").len(), rewrites(&project, "silver").len()), (1, 1));
    assert_eq!(types(&project, "silver"), ["id: long", "price: double"]);
    assert!(project.run(&[]).stdout.contains("nothing new"));
}

fn land_orc(project: &Project, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = project.path().join("landing").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriterBuilder::new(fs::File::create(path).unwrap(), Arc::clone(&batch.schema())).try_build().unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn p60_types_of_orc_files_widen() {
    let project = project("orc");
    let short: ArrayRef = Arc::new(Int16Array::from(vec![1, 2]));
    let price: ArrayRef = Arc::new(Float32Array::from(vec![1.5, 2.5]));
    land_orc(&project, "1.orc", vec![("id", ints(&[1, 2])), ("price", price), ("short", short)]);
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id: integer", "price: float", "short: short", "_rescued_data: string"]);
    let price: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
    land_orc(&project, "2.orc", vec![("id", longs(&[1 << 40])), ("price", price), ("short", ints(&[100_000]))]);
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id: long", "price: double", "short: integer", "_rescued_data: string"]);
    let rows = project.rows("t", "SELECT id, price, short, _rescued_data FROM t");
    assert_eq!(rows, ["1099511627776|1e300|100000|NULL", "1|1.5|1|NULL", "2|2.5|2|NULL"]);
    assert_eq!((rewrites(&project, "t").len(), rewrites(&project, "silver").len()), (1, 1));
    assert!(project.run(&[]).stdout.contains("nothing new"));
}

/// One map of whole numbers.
fn map(key: i64, value: i64, wide: bool) -> ArrayRef {
    if wide {
        let mut map = MapBuilder::new(None, Int64Builder::new(), Int64Builder::new());
        map.keys().append_value(key);
        map.values().append_value(value);
        map.append(true).unwrap();
        return Arc::new(map.finish());
    }
    let mut map = MapBuilder::new(None, Int32Builder::new(), Int32Builder::new());
    map.keys().append_value(i32::try_from(key).unwrap());
    map.values().append_value(i32::try_from(value).unwrap());
    map.append(true).unwrap();
    Arc::new(map.finish())
}

#[test]
fn p60_keys_and_values_of_maps_widen() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {};
        CREATE OR REFRESH STREAMING TABLE silver AS SELECT m FROM STREAM(t);",
        read("")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "1.parquet", &[("id", ints(&[1])), ("m", map(1, 10, false))]);
    project.run(&[]);
    land(&project, "2.parquet", &[("id", ints(&[2])), ("m", map(1 << 41, 1 << 40, true))]);
    project.run(&[]);
    // A file of the former types fits.
    land(&project, "3.parquet", &[("id", ints(&[3])), ("m", map(3, 30, false))]);
    project.run(&[]);
    let both = "SELECT map_keys(m)[0] AS k, map_values(m)[0] AS v FROM";
    let expected = json!([{"k": 1, "v": 10}, {"k": 3, "v": 30}, {"k": 1_i64 << 41, "v": 1_i64 << 40}]);
    for table in ["t", "silver"] {
        assert_eq!(project.sql(&format!("{both} {table} ORDER BY k")), expected, "{table}");
        assert_eq!(rewrites(&project, table).len(), 1, "{table}");
    }
    assert_eq!(project.rows("t", "SELECT count(_rescued_data) FROM t"), ["0"]);
    assert!(project.run(&[]).stdout.contains("nothing new"));
}
