//! What bounds a read: records that are left out are handed over with the batches, and fields of all files together have a limit.

use super::*;
use crate::source::files::{
    location::FilePlace,
    open::SourceFile,
    reader::{BATCH_ROWS, ContentReader, ReadColumns},
};

/// What a reader hands over, in order: so many rows, or a record that was left out.
async fn handed_over(format: &'static str, content: String) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, &content).unwrap();
    let read = Read::new(format, directory.path(), vec![big("a")]).with("badrecordspath", "bad");
    let source = read.source();
    let entry = FileEntry { path: "file:///a".into(), size: content.len() as u64, modified_us: 0, etag: None };
    let runtime = tokio::runtime::Handle::current();
    let act = move || {
        let columns = Arc::new(Schema::new(vec![big("a")]));
        let columns = ReadColumns { needed: Arc::clone(&columns), content: columns, known: vec!["a".into()] };
        let mut reader = ContentReader::new(&source.read(), &columns).unwrap();
        let seen = std::cell::RefCell::new(Vec::new());
        let file = SourceFile::new(&entry, FilePlace::Local(path), runtime);
        let mut emit = |batch: RecordBatch| {
            seen.borrow_mut().push(batch.num_rows().to_string());
            Ok(())
        };
        let mut bad = |record: &[u8], _: &str| {
            seen.borrow_mut().push(String::from_utf8_lossy(record).into_owned());
            Ok(())
        };
        reader.read(&file, &mut emit, &mut bad).unwrap();
        seen.into_inner()
    };
    tokio::task::spawn_blocking(act).await.unwrap()
}

#[tokio::test]
async fn records_that_are_left_out_wait_no_longer_than_the_rows_beside_them() {
    let json: String = (0..BATCH_ROWS).map(|n| format!("{{\"a\":{n}}}\n")).collect();
    let rows = BATCH_ROWS.to_string();
    assert_eq!(handed_over("json", format!("{{one\n{json}{{two\n{{\"a\":1}}\n")).await, ["{one", &rows, "{two", "1"]);
    let csv: String = (0..BATCH_ROWS).map(|n| format!("{n}\n")).collect();
    assert_eq!(handed_over("csv", format!("1,one\n{csv}1,two\n7\n")).await, ["1,one", &rows, "1,two", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_all_files_together_have_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, first: usize, count: usize| {
        let fields: Vec<String> = (first..first + count).map(|n| format!("\"f{n}\":1")).collect();
        fs::write(directory.path().join(name), format!("{{{}}}\n", fields.join(","))).unwrap();
    };
    let infer = || async {
        let source = Read::new("json", directory.path(), vec![]).with("inferred", "").source();
        let files = source.list(0, &|_| {}).await.unwrap();
        source.infer(&files, SampleLimits::FIRST).await
    };
    file("1.json", 0, 3_000);
    file("2.json", 2_000, 3_000);
    assert_eq!(infer().await.unwrap().schema.unwrap().fields().len(), 5_000);
    file("3.json", 5_000, 1);
    let failure = infer().await.unwrap_err();
    assert_eq!(failure.error, "FILE_SCHEMA_TOO_WIDE", "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_that_no_table_can_hold_is_refused_by_name_and_never_passed_over() {
    let long = |value: usize, out: &mut Vec<u8>| {
        let mut rest = value << 1;
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    };
    let header = |codec: &str, schema: &str| {
        let mut bytes = b"Obj\x01".to_vec();
        long(2, &mut bytes);
        for text in ["avro.codec", codec, "avro.schema", schema] {
            long(text.len(), &mut bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&[7; 16]);
        bytes
    };
    let plain = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;
    let itself = r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","r"]}]}"#;
    let digits = r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":39}}]}"#;
    for (codec, schema, says) in
        [("null", plain, ""), ("xz", plain, "codec is `xz`"), ("null", itself, "contains itself"), ("null", digits, "39 digits")]
    {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.avro"), header(codec, schema)).unwrap();
        let read = Read::new("avro", directory.path(), vec![big("a")]).with("ignorecorruptfiles", "true");
        let outcome = read.query("SELECT * FROM t").await;
        match outcome {
            Ok((batches, _)) => assert!(says.is_empty() && batches.iter().all(|batch| batch.num_rows() == 0), "{codec} {schema}"),
            Err(failure) => {
                assert_eq!(failure.error, "FEATURE_NOT_SUPPORTED", "{failure}");
                assert!(!says.is_empty() && failure.message.contains(says), "{failure}");
            }
        }
    }
}
