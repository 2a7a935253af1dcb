//! Inference reads no more than its sample.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn inference_ends_at_its_limits_of_files_and_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..5 {
        let path = directory.path().join(format!("{number}.json"));
        fs::write(&path, format!("{{\"c{number}\":1}}\n")).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let source = Read::new("json", directory.path(), vec![]).with("inferred", "").source();
    let files = source.list(i64::MAX, &|_| {}).await.unwrap();
    for (limits, read) in [
        (SampleLimits { files: 2, bytes: u64::MAX, needs_content: true }, 2),
        // The file that crosses the limit is the last one.
        (SampleLimits { files: 1000, bytes: 9, needs_content: true }, 1),
        (SampleLimits { files: 1000, bytes: 10, needs_content: true }, 2),
        (SampleLimits { files: 1000, bytes: 27, needs_content: true }, 3),
        (SampleLimits { files: 4, bytes: 10_000, needs_content: true }, 4),
        (SampleLimits::ALL, 5),
    ] {
        let found = source.infer(&files, limits).await.unwrap();
        let columns: Vec<String> = found.schema.unwrap().fields().iter().map(|field| field.name().clone()).collect();
        let expected: Vec<String> = (0..read).map(|number| format!("c{number}")).collect();
        assert_eq!((found.files, found.bytes, columns), (read, 9 * read as u64, expected), "{limits:?}");
    }
    assert_eq!((SampleLimits::FIRST.files, SampleLimits::FIRST.bytes), (1000, 50 << 30));
}
