//! One object store per bucket or container, built when first asked for.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Component, Path as FilePath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use deltalake::{
    DeltaResult, DeltaTableError,
    logstore::{LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore},
};
use object_store::{
    ObjectStore, ObjectStoreScheme, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem, memory::InMemory, path::Path,
};
use url::Url;

use super::{
    Location,
    credentials::{self, HOME, Options, ReadText},
    store_failure,
};
use crate::failure::Failure;

/// Schemes that delta-rs does not know by itself.
const REMOTE_SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"];

/// The stores of this process. Clones share what was opened.
#[derive(Clone)]
pub struct Stores(Arc<Inner>);

struct Inner {
    options: BTreeMap<String, String>,
    open: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl PartialEq for Stores {
    /// Equal if they are the same ones.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Stores {
    /// Options hold credentials and are never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}

/// True for a variable of the environment that configures a store: `main` hands those to [`Stores::new`].
pub fn is_store_option(key: &str) -> bool {
    let begins = |prefix: &&str| key.len() > prefix.len() && key.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    // The files that tools of AWS share are in the user's folder.
    key.eq_ignore_ascii_case(HOME) || ["AWS_", "AZURE_", "GOOGLE_"].iter().any(begins)
}

impl Stores {
    /// Stores configured by `options` (`AWS_REGION`, `AZURE_STORAGE_ACCOUNT_NAME`, `GOOGLE_SERVICE_ACCOUNT` …), known to delta-rs from now on. Of
    /// two that mean the same, the later counts.
    pub fn new(options: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut known = BTreeMap::new();
        for (key, value) in options {
            let key = key.to_ascii_lowercase();
            known.retain(|other: &String, _| !credentials::is_same_option(other, &key));
            known.insert(key, value);
        }
        let options = known;
        let stores = Self(Arc::new(Inner { options, open: Mutex::default() }));
        stores.register_with_deltalake();
        stores
    }

    /// Uses `store` for every location of the scheme and host of `url`: memory and counting stores of tests.
    #[must_use]
    pub fn with_store(self, url: &Url, store: Arc<dyn ObjectStore>) -> Self {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).insert(store_key(url), store);
        self
    }

    /// The directory (or object) at `url`.
    pub fn location(&self, url: &Url) -> Result<Location, Failure> {
        let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|_| unknown_scheme(url))?;
        let store = self.store(url, &scheme)?;
        let mut directory = url.clone();
        if !directory.path().ends_with('/') {
            directory.set_path(&format!("{}/", url.path()));
        }
        Ok(Location::new(directory, store, path))
    }

    /// The directory (or object) that `text` names: a URI, or a path of this machine relative to `base`.
    pub fn location_of(&self, text: &str, base: &FilePath) -> Result<Location, Failure> {
        self.location(&parse_uri(text, base)?)
    }

    /// The store of `url`'s bucket.
    fn store(&self, url: &Url, scheme: &ObjectStoreScheme) -> Result<Arc<dyn ObjectStore>, Failure> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = store_key(url);
        if let Some(store) = open.get(&key) {
            return Ok(Arc::clone(store));
        }
        let store = self.build(url, scheme)?;
        open.insert(key, Arc::clone(&store));
        Ok(store)
    }

    fn build(&self, url: &Url, scheme: &ObjectStoreScheme) -> Result<Arc<dyn ObjectStore>, Failure> {
        let failure = |error| store_failure("open", &super::error::shown(url), error);
        let options = |resolve: fn(&Options, ReadText<'_>) -> Result<Options, Failure>| {
            let place =
                |failure: Failure| Failure { message: format!("cannot open {}: {}", super::error::shown(url), failure.message), ..failure };
            resolve(&self.0.options, &|path| std::fs::read_to_string(path)).map_err(place)
        };
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new()),
            ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
            ObjectStoreScheme::AmazonS3 => {
                let start = AmazonS3Builder::new().with_url(url.as_str());
                let builder = options(credentials::s3)?.into_iter().fold(start, |builder, (key, value)| match key.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
                Arc::new(builder.build().map_err(failure)?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let start = GoogleCloudStorageBuilder::new().with_url(url.as_str());
                let builder = options(credentials::google)?.into_iter().fold(start, |builder, (key, value)| match key.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
                Arc::new(builder.build().map_err(failure)?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let start = MicrosoftAzureBuilder::new().with_url(url.as_str());
                let builder = options(credentials::azure)?.into_iter().fold(start, |builder, (key, value)| match key.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
                Arc::new(builder.build().map_err(failure)?)
            }
            _ => return Err(unknown_scheme(url)),
        };
        Ok(store)
    }

    /// delta-rs looks stores up in two registries of the process when it is given a bare URL.
    fn register_with_deltalake(&self) {
        let factory = Arc::new(Factory(self.clone()));
        for scheme in REMOTE_SCHEMES {
            if let Ok(url) = Url::parse(&format!("{scheme}://")) {
                deltalake::logstore::object_store_factories().insert(url.clone(), factory.clone());
                deltalake::logstore::logstore_factories().insert(url, factory.clone());
            }
        }
    }
}

/// A URI as it is, or a path of this machine (absolute or relative to `base`) as `file://` URL.
pub fn parse_uri(text: &str, base: &FilePath) -> Result<Url, Failure> {
    let is_uri = text.split_once("://").is_some_and(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_uri {
        let url = Url::parse(text).map_err(|error| {
            Failure::user("INVALID_URI", format!("{text:?} is not a URI: {error}"))
                .help("write scheme://bucket/path or a path of this machine")
        })?;
        return match ObjectStoreScheme::parse(&url) {
            Ok((ObjectStoreScheme::Http, _)) | Err(_) => Err(unknown_scheme(&url)),
            Ok(_) => Ok(url),
        };
    }
    let text = text.strip_prefix("file:").unwrap_or(text);
    let path = normalized(&base.join(text));
    Url::from_file_path(&path).map_err(|()| {
        Failure::user("INVALID_URI", format!("{} is not an absolute path", path.display())).help("give an absolute path or a URI")
    })
}

/// `path` without `.` and `..`, without asking the file system.
fn normalized(path: &FilePath) -> PathBuf {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}

fn unknown_scheme(url: &Url) -> Failure {
    Failure::user("UNSUPPORTED_URI_SCHEME", format!("no store for {}", super::error::shown(url)))
        .help("use a path of this machine or a URI with file, s3, gs or abfss")
}

fn store_key(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}

/// Lets delta-rs open remote tables with the stores of this process.
#[derive(Clone, Debug)]
struct Factory(Stores);

impl ObjectStoreFactory for Factory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let location = self.0.location(url).map_err(|error| DeltaTableError::GenericError { source: Box::new(error) })?;
        Ok((Arc::clone(location.store()), location.path().clone()))
    }
}

impl LogStoreFactory for Factory {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}
