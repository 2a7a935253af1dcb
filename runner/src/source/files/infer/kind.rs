//! Kinds of values, and what two of them have in common: the tree that inference grows.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// What the values of a field are, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Kind {
    /// Nothing but NULL.
    #[default]
    Null,
    Boolean,
    Long,
    Double,
    Date,
    Timestamp,
    /// Text, or values that have nothing in common.
    Text,
    Struct(Box<Shape>),
    List(Box<Kind>),
}

/// Fields in the order of their first appearance. Names are compared without letter case; the first spelling stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    names: Vec<String>,
    kinds: Vec<Kind>,
    by_lower: HashMap<Vec<u8>, usize>,
    /// Objects of one source repeat their keys in one order: key of the n-th place and its field.
    learned: Vec<(Vec<u8>, Option<usize>)>,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.kinds == other.kinds
    }
}

/// How kinds become types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typing {
    /// False: every column is text.
    pub infer_types: bool,
    /// True: numbers and booleans are text.
    pub primitives_as_string: bool,
}

impl Kind {
    /// The kind that holds values of both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Double, Self::Long) | (Self::Long, Self::Double) => Self::Double,
            (Self::Date, Self::Timestamp) | (Self::Timestamp, Self::Date) => Self::Timestamp,
            (Self::Struct(mut one), Self::Struct(other)) => {
                one.merge(*other);
                Self::Struct(one)
            }
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.and(*other))),
            (one, other) if one == other => one,
            _ => Self::Text,
        }
    }

    /// Takes in a value without parts. True if that changes the kind; it stays as it is unless `may_change`.
    pub(crate) fn take(&mut self, value: Self, may_change: bool) -> bool {
        let same = matches!(
            (&*self, &value),
            (_, Self::Null)
                | (Self::Text, _)
                | (Self::Double, Self::Long | Self::Double)
                | (Self::Timestamp, Self::Date | Self::Timestamp)
                | (Self::Boolean, Self::Boolean)
                | (Self::Long, Self::Long)
                | (Self::Date, Self::Date)
        );
        if !same && may_change {
            *self = std::mem::take(self).and(value);
        }
        !same
    }

    /// Only NULL becomes STRING, and so does an object that never had a field: no table can hold it.
    pub(crate) fn data_type(&self, typing: Typing) -> DataType {
        match self {
            Self::Boolean | Self::Long | Self::Double if typing.primitives_as_string => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Struct(shape) if !shape.is_empty() => DataType::Struct(shape.fields(typing)),
            Self::List(item) => DataType::List(Field::new_list_field(item.data_type(typing), true).into()),
            Self::Null | Self::Text | Self::Struct(_) => DataType::Utf8,
        }
    }
}

impl Shape {
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The fields with their types.
    pub(crate) fn fields(&self, typing: Typing) -> Fields {
        self.names.iter().zip(&self.kinds).map(|(name, kind)| Field::new(name, kind.data_type(typing), true)).collect()
    }

    /// The columns: as fields, unless all of them are text.
    pub(crate) fn columns(&self, typing: Typing) -> Vec<Field> {
        let data_type = |kind: &Kind| if typing.infer_types { kind.data_type(typing) } else { DataType::Utf8 };
        self.names.iter().zip(&self.kinds).map(|(name, kind)| Field::new(name, data_type(kind), true)).collect()
    }

    pub(crate) fn kind_mut(&mut self, index: usize) -> Option<&mut Kind> {
        self.kinds.get_mut(index)
    }

    /// The field of this name, whatever its letter case; it is made if it is not there.
    pub(crate) fn named(&mut self, name: &str) -> usize {
        let next = self.names.len();
        let index = *self.by_lower.entry(name.to_lowercase().into_bytes()).or_insert(next);
        if index == next {
            self.names.push(name.to_owned());
            self.kinds.push(Kind::Null);
            self.learned.clear();
        }
        index
    }

    /// The field of `key`, the one at `place` in its object. `None`: there is none, or the key is another spelling of one and
    /// spellings count.
    pub(crate) fn look_up(&mut self, key: &[u8], place: usize, case_sensitive: bool) -> Option<usize> {
        if let Some((known, field)) = self.learned.get(place)
            && known == key
        {
            return *field;
        }
        let lower = String::from_utf8_lossy(key).to_lowercase().into_bytes();
        let found = self.by_lower.get(&lower).copied()?;
        let is_same = !case_sensitive || self.names.get(found).is_some_and(|name| name.as_bytes() == key);
        let field = is_same.then_some(found);
        if let Some(learned) = self.learned.get_mut(place) {
            *learned = (key.to_vec(), field);
        } else if place == self.learned.len() {
            self.learned.push((key.to_vec(), field));
        }
        field
    }

    /// True if the key is another spelling of a field.
    pub(crate) fn has_spelling(&self, key: &[u8]) -> bool {
        self.by_lower.contains_key(String::from_utf8_lossy(key).to_lowercase().as_bytes())
    }

    /// Takes in what another file has.
    pub(crate) fn merge(&mut self, other: Self) {
        for (name, kind) in other.names.into_iter().zip(other.kinds) {
            let index = self.named(&name);
            if let Some(known) = self.kind_mut(index) {
                *known = std::mem::take(known).and(kind);
            }
        }
    }

    /// Columns and nested fields.
    pub(crate) fn size(&self) -> usize {
        fn size(kind: &Kind) -> usize {
            match kind {
                Kind::Struct(shape) => shape.size(),
                Kind::List(item) => size(item),
                _ => 0,
            }
        }
        self.kinds.iter().map(|kind| 1 + size(kind)).sum()
    }
}
