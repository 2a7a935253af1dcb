//! Deletion vectors: which rows of a data file are gone although the file is still in the table.
//!
//! A vector is a bitmap of row numbers. It stands in the log itself or, with others, in a file: a version byte, then per vector its size, the
//! magic number, the bitmap and a checksum.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use roaring::RoaringTreemap;
use url::Url;
use uuid::Uuid;

use crate::{
    commit::action::{DeletionVector, VectorStorage},
    failure::Failure,
    storage::{Location, store_failure},
};

/// Says that a bitmap in the portable format follows.
const MAGIC: u32 = 1_681_511_377;
/// The format of a file with vectors.
const FILE_VERSION: u8 = 1;
/// Length of an id as text.
const ID_CHARACTERS: usize = 20;
/// Bytes before a vector (its size) and behind it (its checksum).
const FRAME_BYTES: usize = 4;
/// Files with vectors read at once.
const FILES_AT_ONCE: usize = 8;

/// The rows that `vectors` mark, each in its place; `None` for a file without a vector.
pub async fn read(location: &Location, vectors: &[Option<&DeletionVector>]) -> Result<Vec<Option<Arc<RoaringTreemap>>>, Failure> {
    let mut found: Vec<Option<Arc<RoaringTreemap>>> = vec![None; vectors.len()];
    let mut stored: BTreeMap<Path, Vec<(usize, &DeletionVector)>> = BTreeMap::new();
    for (index, vector) in vectors.iter().enumerate() {
        let Some(vector) = *vector else { continue };
        match file_of(location, vector)? {
            Some(path) => stored.entry(path).or_default().push((index, vector)),
            None => found[index] = Some(Arc::new(inline(vector).ok_or_else(|| corrupt(location, "in the log"))?)),
        }
    }
    let mut reads = Vec::with_capacity(stored.len());
    for (path, vectors) in stored {
        reads.push(read_file(location, path, vectors));
    }
    let mut reads = stream::iter(reads).buffer_unordered(FILES_AT_ONCE);
    while let Some(vectors) = reads.try_next().await? {
        for (index, rows) in vectors {
            found[index] = Some(Arc::new(rows));
        }
    }
    Ok(found)
}

/// The file with `vector`, relative to the table; `None` if it is not below the table.
pub fn path_below(location: &Location, vector: &DeletionVector) -> Option<String> {
    location.relative(&file_of(location, vector).ok().flatten()?)
}

/// Writes `vectors` into one file beside the data files of the table at `location`: its path, and what the log says of each vector.
pub(super) async fn write(location: &Location, vectors: &[&RoaringTreemap]) -> Result<(String, Vec<DeletionVector>), Failure> {
    let id = Uuid::new_v4();
    let mut content = vec![FILE_VERSION];
    let mut written = Vec::with_capacity(vectors.len());
    for rows in vectors {
        let offset = i32::try_from(content.len());
        let offset = offset.map_err(|_| Failure::internal(format!("one commit to {location} marks more than 2 GB of rows")))?;
        let mut vector = MAGIC.to_le_bytes().to_vec();
        rows.serialize_into(&mut vector).map_err(|error| Failure::internal(format!("a deletion vector: {error}")))?;
        content.extend((vector.len() as u32).to_be_bytes());
        content.extend(&vector);
        content.extend(crc32fast::hash(&vector).to_be_bytes());
        written.push(DeletionVector {
            storage_type: VectorStorage::Relative,
            path_or_inline_dv: z85::encode(id.as_bytes()),
            offset: Some(offset),
            size_in_bytes: vector.len() as i32,
            cardinality: rows.len() as i64,
        });
    }
    let path = format!("deletion_vector_{id}.bin");
    location.put(&path, content).await?;
    Ok((path, written))
}

/// The file with `vector` within the store of the table.
fn file_of(location: &Location, vector: &DeletionVector) -> Result<Option<Path>, Failure> {
    match vector.storage_type {
        VectorStorage::Inline => Ok(None),
        VectorStorage::Relative => match named_file(&vector.path_or_inline_dv) {
            Some(path) => Ok(Some(location.child(&path))),
            None => Err(corrupt(location, &vector.path_or_inline_dv)),
        },
        VectorStorage::Absolute => {
            let url = Url::parse(&vector.path_or_inline_dv).map_err(|_| corrupt(location, &vector.path_or_inline_dv))?;
            let own = location.url();
            if (url.scheme(), url.host_str(), url.username()) != (own.scheme(), own.host_str(), own.username()) {
                let text = format!("{location} has a deletion vector in another store, {url}");
                return Err(Failure::user("FEATURE_NOT_SUPPORTED", text).help("make a full copy of the table and read that"));
            }
            Path::from_url_path(url.path()).map(Some).map_err(|_| corrupt(location, url.path()))
        }
    }
}

/// The path of the file that an id names, behind the directory that may stand before it.
fn named_file(text: &str) -> Option<String> {
    let (directory, id) = text.split_at_checked(text.len().checked_sub(ID_CHARACTERS)?)?;
    let id = Uuid::from_slice(&z85::decode(id).ok()?).ok()?;
    let directory = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    Some(format!("{directory}deletion_vector_{id}.bin"))
}

async fn read_file(
    location: &Location,
    path: Path,
    vectors: Vec<(usize, &DeletionVector)>,
) -> Result<Vec<(usize, RoaringTreemap)>, Failure> {
    let range = |vector: &DeletionVector| -> Range<u64> {
        let start = vector.offset.unwrap_or(1).max(0) as u64;
        start..start + vector.size_in_bytes.max(0) as u64 + 2 * FRAME_BYTES as u64
    };
    let ranges: Vec<Range<u64>> = vectors.iter().map(|(_, vector)| range(vector)).collect();
    let contents = location.store().get_ranges(&path, &ranges).await.map_err(|error| match error {
        object_store::Error::NotFound { .. } => missing(location, &path),
        error => store_failure("read", path.as_ref(), error),
    })?;
    let decoded = vectors.into_iter().zip(contents).map(|((index, vector), content)| {
        let rows = framed(&content).filter(|rows| rows.len() == vector.cardinality as u64);
        Ok((index, rows.ok_or_else(|| corrupt(location, path.as_ref()))?))
    });
    decoded.collect()
}

/// A vector as it stands in a file, with its size and checksum.
fn framed(content: &[u8]) -> Option<RoaringTreemap> {
    let (size, rest) = content.split_first_chunk::<FRAME_BYTES>()?;
    let (vector, checksum) = rest.split_at_checked(u32::from_be_bytes(*size) as usize)?;
    let checksum = u32::from_be_bytes(*checksum.first_chunk()?);
    if crc32fast::hash(vector) == checksum { bitmap(vector) } else { None }
}

/// A vector in the log: text of whole groups of four bytes, of which the last may be padding.
fn inline(vector: &DeletionVector) -> Option<RoaringTreemap> {
    let decoded = z85::decode(&vector.path_or_inline_dv).ok()?;
    let rows = bitmap(decoded.get(..vector.size_in_bytes.max(0) as usize)?)?;
    (rows.len() == vector.cardinality as u64).then_some(rows)
}

fn bitmap(vector: &[u8]) -> Option<RoaringTreemap> {
    let (magic, rest) = vector.split_first_chunk()?;
    if u32::from_le_bytes(*magic) != MAGIC {
        return None;
    }
    RoaringTreemap::deserialize_from(rest).ok()
}

fn corrupt(location: &Location, place: &str) -> Failure {
    Failure::user("DELTA_DELETION_VECTOR_CORRUPT", format!("a deletion vector of {location} cannot be read: {place}"))
        .help("restore the file or the table from a backup")
}

fn missing(location: &Location, path: &Path) -> Failure {
    Failure::user("DATA_FILE_MISSING", format!("the deletion vectors of {location} in {path} are gone, probably removed by a vacuum")).help(
        "reset the checkpoint of the flow or refresh it fully; keep delta.deletedFileRetentionDuration longer than the slowest reader",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::storage_in;

    fn sample() -> [RoaringTreemap; 3] {
        [[3, 7, 70_000, 1 << 33].into_iter().collect(), (0..100_000).collect(), (0..9_000_000).step_by(977).collect()]
    }

    #[tokio::test]
    async fn vectors_are_written_into_one_file_and_read_back_from_all_places() {
        let directory = tempfile::tempdir().unwrap();
        let location = storage_in(directory.path()).at("t");
        let (path, written) = write(&location, &sample().each_ref()).await.unwrap();
        assert_eq!(written.iter().map(|vector| path_below(&location, vector)).collect::<Vec<_>>(), vec![Some(path.clone()); 3]);
        let absolute = DeletionVector {
            storage_type: VectorStorage::Absolute,
            path_or_inline_dv: location.join(&path).url().as_str().trim_end_matches('/').to_owned(),
            ..written[1].clone()
        };
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        sample()[0].serialize_into(&mut bytes).unwrap();
        let size_in_bytes = bytes.len() as i32;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let inline = DeletionVector {
            storage_type: VectorStorage::Inline,
            path_or_inline_dv: z85::encode(&bytes),
            offset: None,
            size_in_bytes,
            cardinality: 4,
        };
        assert_eq!((path_below(&location, &absolute), path_below(&location, &inline)), (Some(path), None));
        let mut vectors: Vec<Option<&DeletionVector>> = written.iter().map(Some).collect();
        vectors.extend([None, Some(&absolute), Some(&inline)]);
        let found = read(&location, &vectors).await.unwrap();
        let [a, b, c] = sample().map(|rows| Some(Arc::new(rows)));
        assert_eq!(found, [a.clone(), b.clone(), c, None, b, a]);
    }

    #[tokio::test]
    async fn a_vector_that_is_damaged_or_gone_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let location = storage_in(directory.path()).at("t");
        let (path, written) = write(&location, &sample().each_ref()).await.unwrap();
        let mut content = location.get(&path).await.unwrap().unwrap().to_vec();
        content[20] ^= 1;
        location.put(&path, content).await.unwrap();
        let failure = read(&location, &[Some(&written[0])]).await.unwrap_err();
        assert_eq!(failure.error, "DELTA_DELETION_VECTOR_CORRUPT");
        assert!(failure.message.contains(&path), "{failure}");
        assert!(read(&location, &[Some(&written[1])]).await.is_ok(), "the others are whole");
        location.delete(&path).await.unwrap();
        assert_eq!(read(&location, &[Some(&written[1])]).await.unwrap_err().error, "DATA_FILE_MISSING");
        let elsewhere = DeletionVector {
            storage_type: VectorStorage::Absolute,
            path_or_inline_dv: "s3://other/v.bin".to_owned(),
            ..written[0].clone()
        };
        assert_eq!(read(&location, &[Some(&elsewhere)]).await.unwrap_err().error, "FEATURE_NOT_SUPPORTED");
    }
}
