//! Opening one file: bytes from this machine or a store, decompressed by suffix. Everything here blocks and runs on blocking threads.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read},
    sync::Arc,
};

use bytes::Bytes;
use datafusion::{
    arrow::error::ArrowError,
    parquet::{
        errors::ParquetError,
        file::reader::{ChunkReader, Length},
    },
};
use floe_graph::source_options::TextEncoding;
use futures::{StreamExt, stream::BoxStream};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, path::Path};
use tokio::runtime::Handle;

use super::{
    encoding::recoded,
    location::{FilePlace, shown},
    look::text_of,
    snappy::SnappyReader,
};
use crate::{
    failure::Failure,
    state::FileEntry,
    storage::{io_failure, store_failure},
};

/// Bytes of one request or read.
pub(super) const READ_BYTES: usize = 4 << 20;

/// Why a file was not read to its end.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Nobody wants the rows any more.
    Stopped,
    /// The file is gone.
    Missing,
    /// The content is not what the format says, with the reason.
    Corrupt(String),
    Failed(Box<Failure>),
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// One file to read.
pub(super) struct SourceFile<'a> {
    pub entry: &'a FileEntry,
    pub place: FilePlace,
    pub runtime: Handle,
    looks_like: Cell<Option<&'static str>>,
}

impl<'a> SourceFile<'a> {
    pub(super) fn new(entry: &'a FileEntry, place: FilePlace, runtime: Handle) -> Self {
        Self { entry, place, runtime, looks_like: Cell::new(None) }
    }

    /// What its first bytes clearly look like, known once its text was opened.
    pub(super) fn looks_like(&self) -> Option<&'static str> {
        self.looks_like.get()
    }

    /// The decompressed bytes.
    pub(super) fn reader(&self) -> Result<Box<dyn Read>, ReadError> {
        let raw = self.raw()?;
        let name = self.entry.path.as_str();
        let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase());
        Ok(match suffix.as_deref() {
            Some("gz" | "gzip") => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(raw))),
            Some("bz2") => Box::new(bzip2::read::MultiBzDecoder::new(BufReader::new(raw))),
            Some("zst" | "zstd") => Box::new(zstd::Decoder::new(raw).map_err(|error| self.error(error))?),
            Some("snappy") => Box::new(SnappyReader::new(BufReader::new(raw))),
            _ => raw,
        })
    }

    /// The decompressed text as UTF-8.
    pub(super) fn text(&self, encoding: TextEncoding) -> Result<Box<dyn Read>, ReadError> {
        let (reader, looks_like) = text_of(self.reader()?).map_err(|error| self.error(error))??;
        self.looks_like.set(looks_like);
        Ok(recoded(reader, encoding))
    }

    /// The bytes as they are stored.
    pub(super) fn raw(&self) -> Result<Box<dyn Read>, ReadError> {
        match &self.place {
            FilePlace::Local(path) => Ok(Box::new(File::open(path).map_err(|error| self.error(error))?)),
            FilePlace::Remote(store, path) => {
                let found = self.runtime.block_on(store.get(path)).map_err(|error| self.store_error(error))?;
                Ok(Box::new(StoreReader { stream: found.into_stream(), chunk: Bytes::new(), runtime: self.runtime.clone() }))
            }
        }
    }

    /// Random access, for Parquet.
    pub(super) fn chunks(&self) -> Result<Chunks, ReadError> {
        match &self.place {
            FilePlace::Local(path) => Ok(Chunks::Local(File::open(path).map_err(|error| self.error(error))?)),
            FilePlace::Remote(store, path) => {
                let found = self.runtime.block_on(store.head(path)).map_err(|error| self.store_error(error))?;
                Ok(Chunks::Remote { store: Arc::clone(store), path: path.clone(), size: found.size, runtime: self.runtime.clone() })
            }
        }
    }

    /// What an error while reading means.
    pub(super) fn error(&self, error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::NotFound => ReadError::Missing,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                ReadError::Corrupt(error.to_string())
            }
            io::ErrorKind::Other => match error.downcast::<StoreError>() {
                Ok(error) => self.store_error(error),
                Err(error) => ReadError::Corrupt(error.to_string()),
            },
            _ => io_failure("read", &shown(&self.entry.path), error).into(),
        }
    }

    fn store_error(&self, error: StoreError) -> ReadError {
        match error {
            StoreError::NotFound { .. } => ReadError::Missing,
            error => store_failure("read", &shown(&self.entry.path), error).into(),
        }
    }

    pub(super) fn parquet_error(&self, error: ParquetError) -> ReadError {
        match error {
            ParquetError::External(inner) => match inner.downcast::<StoreError>() {
                Ok(error) => self.store_error(*error),
                Err(inner) => match inner.downcast::<io::Error>() {
                    Ok(error) => self.error(*error),
                    Err(inner) => ReadError::Corrupt(inner.to_string()),
                },
            },
            error => ReadError::Corrupt(error.to_string()),
        }
    }

    pub(super) fn arrow_error(&self, error: ArrowError) -> ReadError {
        match error {
            ArrowError::ExternalError(inner) => match inner.downcast::<ParquetError>() {
                Ok(error) => self.parquet_error(*error),
                Err(inner) => ReadError::Corrupt(inner.to_string()),
            },
            error => ReadError::Corrupt(error.to_string()),
        }
    }
}

/// The body of one request, read as it arrives.
struct StoreReader {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    chunk: Bytes,
    runtime: Handle,
}

impl Read for StoreReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(chunk) => self.chunk = chunk.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let part = self.chunk.split_to(self.chunk.len().min(target.len()));
        target[..part.len()].copy_from_slice(&part);
        Ok(part.len())
    }
}

/// Ranges of a file.
pub(super) enum Chunks {
    Local(File),
    Remote { store: Arc<dyn ObjectStore>, path: Path, size: u64, runtime: Handle },
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Remote { size, .. } => *size,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        match self {
            Self::Local(file) => Ok(Box::new(file.get_read(start)?)),
            Self::Remote { size, .. } => {
                let length = (READ_BYTES as u64).min(size.saturating_sub(start));
                Ok(Box::new(io::Cursor::new(self.get_bytes(start, length as usize)?)))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Remote { store, path, runtime, .. } => runtime
                .block_on(store.get_range(path, start..start + length as u64))
                .map_err(|error| ParquetError::External(Box::new(error))),
        }
    }
}
