//! Locations, layout and the classes of errors.

use std::{io, path::Path as FilePath};

use floe_graph::name::DatasetName;

use super::{testing::storage_in, *};
use crate::failure::FailureClass;

fn name(schema: &str, name: &str) -> DatasetName {
    DatasetName { catalog: "main".to_owned(), schema: schema.to_owned(), name: name.to_owned() }
}

#[test]
fn layout_is_lower_case_and_safe() {
    assert_eq!(layout::table_path(&name("Default", "Orders_Silver"), false), "default/orders_silver");
    assert_eq!(layout::table_path(&name("default", "t"), true), "_floe/private/default/t");
    assert_eq!(layout::table_path(&name("_floe", "a b/ç"), false), "%5Ffloe/a%20b%2F%C3%A7");
    assert_eq!(layout::segment(".."), "%2E%2E");
    assert_eq!(layout::checkpoint_path("Default.Bronze"), "_floe/checkpoints/default.bronze");
    let long = layout::segment(&"é".repeat(300));
    assert!(long.len() <= 200 && long != layout::segment(&"é".repeat(301)), "{long}");
}

#[test]
fn uris_and_paths_become_urls() {
    let base = FilePath::new("/data/project");
    let url = |text: &str| parse_uri(text, base).map(|url| url.to_string());
    assert_eq!(url("./lake/../in put").unwrap(), "file:///data/project/in%20put");
    assert_eq!(url("/abs").unwrap(), "file:///abs");
    assert_eq!(url("file:///abs/x").unwrap(), "file:///abs/x");
    assert_eq!(url("s3://bucket/a b").unwrap(), "s3://bucket/a%20b");
    assert_eq!(url("ftp://host/x").unwrap_err().error, "UNSUPPORTED_URI_SCHEME");
    assert_eq!(url("https://example.com/x").unwrap_err().error, "UNSUPPORTED_URI_SCHEME");
}

#[test]
fn options_of_stores_are_known_by_their_prefix() {
    assert!(
        is_store_option("AWS_REGION")
            && is_store_option("azure_storage_account_name")
            && !is_store_option("AWS")
            && !is_store_option("ABCé")
            && !is_store_option("PATH")
    );
}

#[tokio::test]
async fn odd_names_round_trip_through_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let place = storage.at("schema/a%20b%C3%A7");
    place.put("x.json", "1").await.unwrap();
    assert!(directory.path().join("schema/a%20b%C3%A7/x.json").exists());
    assert_eq!(place.get("x.json").await.unwrap().unwrap().as_ref(), b"1");
    assert_eq!(place.local_path().unwrap(), directory.path().join("schema/a%20b%C3%A7"));
    let listed = place.list("").await.unwrap();
    assert_eq!(place.relative(&listed[0].location).unwrap(), "x.json");
    assert_eq!(place.get("y.json").await.unwrap(), None);
    assert!(storage.at("nothing").list("").await.unwrap().is_empty() && !storage.at("nothing").holds_anything().await.unwrap());
}

#[tokio::test]
async fn of_two_puts_one_creates() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    assert_eq!(storage.root().put_if_absent("a/b", "1").await.unwrap(), PutOutcome::Created);
    assert_eq!(storage.root().put_if_absent("a/b", "2").await.unwrap(), PutOutcome::AlreadyExists);
    assert_eq!(storage.root().get("a/b").await.unwrap().unwrap().as_ref(), b"1");
    storage.root().delete("a/b").await.unwrap();
    storage.root().delete("a/b").await.unwrap();
}

#[tokio::test]
async fn memory_storage_is_shared_by_its_stores() {
    let stores = Stores::new([]);
    let url = Url::parse("memory:///root").unwrap();
    let storage = Storage::open(&url, &stores).unwrap();
    storage.root().put("x", "1").await.unwrap();
    let again = Storage::open(&url, &stores).unwrap();
    assert_eq!(again.root().get("x").await.unwrap().unwrap().as_ref(), b"1");
}

#[test]
fn errors_say_whose_fault_they_are() {
    let generic = |text: &str| StoreError::Generic { store: "S3", source: text.to_owned().into() };
    let of = |error| store_failure("read", "s3://b/x", error);
    let full = StoreError::Generic { store: "LocalFileSystem", source: Box::new(io::Error::from_raw_os_error(28)) };
    let full = store_failure("write", "/lake/t", full);
    assert_eq!((full.class, full.error.as_str()), (FailureClass::Storage, "NO_SPACE_LEFT"));
    assert!(full.message.contains("/lake/t") && full.help.is_some());
    let nested = io_failure(
        "write",
        "/lake/t",
        io::Error::other(StoreError::Generic { store: "x", source: Box::new(io::Error::from_raw_os_error(28)) }),
    );
    assert_eq!(nested.error, "NO_SPACE_LEFT");
    let class = |text: &str| of(generic(text)).class;
    assert_eq!(class("Server returned non-2xx status code: 503 Slow Down"), FailureClass::Transient);
    assert_eq!(class("request timed out"), FailureClass::Transient);
    assert_eq!(of(generic("status code: 403 Forbidden")).error, "STORAGE_ACCESS_DENIED");
    let nobody = "Error performing GET http://169.254.169.254/metadata/identity: status code: 403 Forbidden";
    assert_eq!(of(generic(nobody)).error, "STORAGE_CREDENTIALS_MISSING");
    assert_eq!(of(generic("<Code>NoSuchBucket</Code>")).error, "BUCKET_NOT_FOUND");
    assert_eq!(of(generic("the credential provider was not enabled")).error, "STORAGE_CREDENTIALS_MISSING");
    let missing = of(StoreError::NotFound { path: "x".to_owned(), source: "gone".into() });
    assert_eq!((missing.class, missing.error.as_str()), (FailureClass::User, "PATH_NOT_FOUND"));
}

#[test]
fn remote_stores_are_built_when_first_asked_for() {
    let options = [("AWS_REGION", "eu-west-1"), ("AWS_ALLOW_HTTP", "true"), ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")];
    let stores = Stores::new(options.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let base = FilePath::new("/");
    let bucket = stores.location_of("s3://bucket/lake/t", base).unwrap();
    assert_eq!((bucket.path().as_ref(), bucket.to_string().as_str()), ("lake/t", "s3://bucket/lake/t"));
    let again = stores.location_of("s3://bucket/other", base).unwrap();
    assert!(Arc::ptr_eq(bucket.store(), again.store()), "one store per bucket");
    let azure = stores.location_of("abfss://container@account.dfs.core.windows.net/lake", base).unwrap();
    assert_eq!(azure.path().as_ref(), "lake");
    assert_eq!(azure.join("a%20b").url().as_str(), "abfss://container@account.dfs.core.windows.net/lake/a%2520b/");
    assert!(bucket.log_store().is_ok(), "delta-rs knows the scheme");
    assert!(!format!("{stores:?}").contains("a2V5"), "options hold credentials");
}

/// Each option that a manifest may name is one that its store takes, or that Floe reads itself.
#[test]
fn options_of_manifests_are_known_to_the_stores() {
    use floe_crds::store_option;
    use object_store::{aws::AmazonS3ConfigKey, azure::AzureConfigKey, gcp::GoogleConfigKey};

    fn is<Key: std::str::FromStr>(name: &str) -> bool {
        name.parse::<Key>().is_ok()
    }
    let own = |name: &str| store_option::S3_FILES.contains(&name.trim_start_matches("aws_"));
    let names = store_option::names();
    assert!(names.len() > 200, "{}", names.len());
    for name in names {
        let known = match name.split('_').next() {
            Some("aws") => is::<AmazonS3ConfigKey>(&name) || own(&name),
            Some("azure") => is::<AzureConfigKey>(&name),
            Some("google") => is::<GoogleConfigKey>(&name),
            _ => is::<AmazonS3ConfigKey>(&name) || is::<AzureConfigKey>(&name) || is::<GoogleConfigKey>(&name) || own(&name),
        };
        assert!(known, "{name}");
    }
}
