//! Stores for tests: one that counts and can lose the answer of a put.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, path::Path,
};
use url::Url;

use super::{Storage, Stores};

/// Counts the requests to the store behind it.
#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    gets: AtomicUsize,
    heads: AtomicUsize,
    lists: AtomicUsize,
    puts: AtomicUsize,
    /// The next put of a commit succeeds, but its answer is an error.
    lose_answer: AtomicBool,
    /// Commits are written, but the answer says that access is denied, and they cannot be read back.
    deny_log: AtomicBool,
}

/// Requests since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub gets: usize,
    pub heads: usize,
    pub lists: usize,
    pub puts: usize,
}

impl CountingStore {
    /// A counting store over the local file system, and a storage at `directory` that uses it.
    pub(crate) fn over(directory: &std::path::Path) -> (Arc<Self>, Storage) {
        let store = Arc::new(Self {
            inner: Arc::new(object_store::local::LocalFileSystem::new()),
            gets: AtomicUsize::new(0),
            heads: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            puts: AtomicUsize::new(0),
            lose_answer: AtomicBool::new(false),
            deny_log: AtomicBool::new(false),
        });
        let url = Url::from_directory_path(directory).unwrap();
        let stores = Stores::new([]).with_store(&url, Arc::clone(&store) as Arc<dyn ObjectStore>);
        (store, Storage::open(&url, &stores).unwrap())
    }

    /// Requests since the last call.
    pub(crate) fn take(&self) -> Counts {
        let take = |counter: &AtomicUsize| counter.swap(0, Ordering::SeqCst);
        Counts { gets: take(&self.gets), heads: take(&self.heads), lists: take(&self.lists), puts: take(&self.puts) }
    }

    pub(crate) fn lose_next_answer(&self) {
        self.lose_answer.store(true, Ordering::SeqCst);
    }

    pub(crate) fn deny_log(&self, denied: bool) {
        self.deny_log.store(denied, Ordering::SeqCst);
    }

    fn is_denied(&self, location: &Path) -> Result<()> {
        if location.as_ref().contains("_delta_log") && self.deny_log.load(Ordering::SeqCst) {
            let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
            return Err(object_store::Error::PermissionDenied { path: location.to_string(), source: Box::new(source) });
        }
        Ok(())
    }
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counting {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        let result = self.inner.put_opts(location, payload, options).await;
        if location.as_ref().contains("_delta_log") && self.lose_answer.swap(false, Ordering::SeqCst) {
            let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Err(object_store::Error::Generic { store: "test", source: Box::new(source) });
        }
        self.is_denied(location)?;
        result
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let counter = if options.head { &self.heads } else { &self.gets };
        counter.fetch_add(1, Ordering::SeqCst);
        self.is_denied(location)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A storage in `directory` with plain stores.
pub(crate) fn storage_in(directory: &std::path::Path) -> Storage {
    Storage::open(&Url::from_directory_path(directory).unwrap(), &Stores::new([])).unwrap()
}
