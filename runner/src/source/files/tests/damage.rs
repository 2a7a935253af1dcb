//! Avro and ORC files whose bytes are not what they should be: they are unreadable, and nothing worse.

use super::*;

fn golden(name: &str) -> Vec<u8> {
    fs::read(FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files").join(name)).unwrap()
}

async fn rows_of(format: &'static str, content: &[u8], schema: Vec<Field>) -> Result<usize, Failure> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), content).unwrap();
    let read = Read::new(format, directory.path(), schema);
    let (batches, _) = read.query("SELECT * FROM t").await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

fn columns() -> Vec<Field> {
    vec![
        big("l"),
        text("s"),
        Field::new("dec", DataType::Decimal128(10, 2), true),
        Field::new_list("list", Field::new_list_field(DataType::Int64, true), true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_never_passes_for_a_shorter_one() {
    for (format, name) in [("avro", "types.avro"), ("orc", "types.orc")] {
        let whole = golden(name);
        assert_eq!(rows_of(format, &whole, columns()).await.unwrap(), 4);
        let header =
            if format == "avro" { whole.windows(16).position(|window| window == &whole[whole.len() - 16..]).unwrap() + 16 } else { 0 };
        for length in (1..whole.len()).filter(|length| *length != header).step_by(23) {
            let failure = rows_of(format, &whole[..length], columns()).await.unwrap_err();
            assert_eq!(failure.error, "FAILED_READ_FILE.NO_HINT", "{name} cut at {length}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_is_no_worse_than_an_unreadable_file() {
    for (format, name) in [("avro", "types.avro"), ("avro", "codecs/uncompressed.avro"), ("orc", "types.orc"), ("orc", "codecs/none.orc")] {
        let whole = golden(name);
        let schema = if name.starts_with("codecs") { vec![big("id"), text("s")] } else { columns() };
        for at in (0..whole.len()).step_by(whole.len().div_ceil(100)) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x15;
            if let Err(failure) = rows_of(format, &damaged, schema.clone()).await {
                let is_expected = ["FAILED_READ_FILE.NO_HINT", "FEATURE_NOT_SUPPORTED"].contains(&failure.error.as_str());
                assert!(is_expected, "{name} at {at}: {failure}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_a_block_that_is_too_small_is_noticed() {
    let mut content = golden("codecs/uncompressed.avro");
    // Behind the header: so many rows, so many bytes, the rows, the marker.
    let marker = content[content.len() - 16..].to_vec();
    let block = content.windows(16).position(|window| window == marker).unwrap() + 16;
    content[block] ^= 0x02;
    let schema = vec![big("id"), text("s")];
    assert_eq!(rows_of("avro", &content, schema).await.unwrap_err().error, "FAILED_READ_FILE.NO_HINT");
}
