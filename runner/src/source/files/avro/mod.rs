//! Avro files: rows by the schema in the file itself, one block at a time.

mod container;
mod decode;
mod schema;

use std::io::Read;

use datafusion::arrow::datatypes::Schema;

use self::{
    container::{Container, broken},
    decode::Rows,
    schema::{Type, Wrong},
};
use super::{
    location::shown,
    open::{ReadError, SourceFile},
    reader::{BATCH_BYTES, BATCH_ROWS, Emit, FileCounts, ReadColumns},
    scan::FileRead,
    typed::Fitting,
};
use crate::failure::Failure;

/// Reads Avro files into the needed columns.
pub(super) struct AvroReader {
    fitting: Fitting,
}

impl AvroReader {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Self {
        Self { fitting: Fitting::new(columns, read) }
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        let mut counts = FileCounts::default();
        let Some((mut container, fields)) = open(file)? else { return Ok(counts) };
        self.fitting.check(&schema::arrow_schema(&fields), &file.entry.path)?;
        let mut rows = Rows::new(&fields, |name| self.fitting.wants(name));
        let mut pass = |rows: &mut Rows| -> Result<(), ReadError> {
            counts.rows += rows.len() as u64;
            let batch = rows.batch().map_err(|error| file.arrow_error(error))?;
            emit(self.fitting.fitted(&batch, &file.entry.path)?)
        };
        let mut unpassed_bytes = 0;
        while let Some(block) = container.next_block().map_err(|error| file.error(error))? {
            let mut input = block.content.as_slice();
            for _ in 0..block.rows {
                let before = input.len();
                rows.read_row(&mut input).map_err(|error| file.error(error))?;
                unpassed_bytes += before - input.len();
                if rows.len() >= BATCH_ROWS || unpassed_bytes >= BATCH_BYTES {
                    unpassed_bytes = 0;
                    pass(&mut rows)?;
                }
            }
            if !input.is_empty() {
                return Err(file.error(broken("a block has more bytes than its rows")));
            }
        }
        if rows.len() > 0 {
            pass(&mut rows)?;
        }
        Ok(counts)
    }
}

/// The columns of a file; only its header is read.
pub(super) fn columns(file: &SourceFile<'_>) -> Result<Schema, ReadError> {
    Ok(open(file)?.map_or_else(Schema::empty, |(_, fields)| schema::arrow_schema(&fields)))
}

/// The file behind its header, and the fields of its rows; `None` for a file without a byte.
#[expect(clippy::type_complexity, reason = "two values that belong together only here")]
fn open(file: &SourceFile<'_>) -> Result<Option<(Container<Box<dyn Read>>, Vec<(String, Type)>)>, ReadError> {
    if file.entry.size == 0 {
        return Ok(None);
    }
    let container = Container::open(file.reader()?).map_err(|error| file.error(error))?;
    if container.is_refused() {
        return Err(refused(file, "its codec is `xz`"));
    }
    let fields = schema::parse(container.schema()).map_err(|wrong| match wrong {
        Wrong::Broken(reason) => ReadError::Corrupt(reason),
        Wrong::Refused(reason) => refused(file, &reason),
    })?;
    Ok(Some((container, fields)))
}

/// The file is whole: nobody may pass over it as one that is damaged.
fn refused(file: &SourceFile<'_>, reason: &str) -> ReadError {
    let text = format!("{} is not read from Avro: {reason}", shown(&file.entry.path));
    let help = "write the file another way and put it in its place, under the same name; or remove it and set ignoreMissingFiles => true";
    Failure::user("FEATURE_NOT_SUPPORTED", text).help(help).into()
}
