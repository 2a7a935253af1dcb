//! How a call is typed: parameters, coercion of the arguments, type of the result.

use std::{fmt, sync::Arc};

use datafusion_common::{
    ScalarValue,
    arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit},
};

use super::{FunctionSpec, coercion};

/// The kind of value that a parameter takes; an argument of another type is cast to it where Spark does so by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Any type, as it is.
    Any,
    /// STRING.
    Text,
    /// BINARY.
    Binary,
    /// Text or binary as it is, everything else as text.
    TextOrBinary,
    /// BOOLEAN.
    Boolean,
    /// INT.
    Int,
    /// BIGINT.
    Long,
    /// DOUBLE.
    Double,
    /// A number as it is; text becomes DOUBLE.
    Number,
    /// An integer as it is; other numbers and text become BIGINT.
    Integer,
    /// DATE.
    Date,
    /// TIMESTAMP.
    Timestamp,
    /// DATE, TIMESTAMP and TIMESTAMP_NTZ as they are; text becomes TIMESTAMP.
    DateOrTimestamp,
    /// Text, DATE, TIMESTAMP and TIMESTAMP_NTZ as they are.
    TextOrTime,
    /// All arguments of this kind are cast to their common type.
    Same,
    /// ARRAY of anything.
    Array,
    /// An array or text as it is.
    ArrayOrText,
    /// MAP of anything.
    Map,
    /// An array or a map.
    Collection,
    /// STRUCT of anything.
    Struct,
    /// INTERVAL of any unit.
    Interval,
    /// The common type of this argument and the elements of the array before it.
    Element,
    /// A text literal that planning itself reads.
    TextLiteral,
}

/// Computes a result type from argument types and literal arguments.
pub type Computation = fn(&[DataType], &[Option<ScalarValue>]) -> Result<DataType, SignatureError>;

/// The type of a result.
#[derive(Clone, Copy)]
pub enum Returns {
    /// STRING.
    Text,
    /// BINARY.
    Binary,
    /// BOOLEAN.
    Boolean,
    /// INT.
    Int,
    /// BIGINT.
    Long,
    /// DOUBLE.
    Double,
    /// DATE.
    Date,
    /// TIMESTAMP.
    Timestamp,
    /// The type of the (cast) argument at this position.
    Argument(usize),
    /// The element type of the array at this position.
    Element(usize),
    /// An array of the type of the argument at this position.
    ArrayOf(usize),
    /// Computed from the cast argument types alone.
    OfTypes(fn(&[DataType]) -> DataType),
    /// Computed from the cast argument types and the literal arguments.
    Custom(Computation),
}

impl fmt::Debug for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Custom(_) => f.write_str("Custom"),
            Self::OfTypes(_) => f.write_str("OfTypes"),
            Self::Text => f.write_str("Text"),
            Self::Binary => f.write_str("Binary"),
            Self::Boolean => f.write_str("Boolean"),
            Self::Int => f.write_str("Int"),
            Self::Long => f.write_str("Long"),
            Self::Double => f.write_str("Double"),
            Self::Date => f.write_str("Date"),
            Self::Timestamp => f.write_str("Timestamp"),
            Self::Argument(i) => write!(f, "Argument({i})"),
            Self::Element(i) => write!(f, "Element({i})"),
            Self::ArrayOf(i) => write!(f, "ArrayOf({i})"),
        }
    }
}

/// Why a call does not fit a function: the error class and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureError {
    /// Class of the error, e.g. `WRONG_NUM_ARGS.WITHOUT_SUGGESTION`.
    pub class: &'static str,
    /// The sentence for the user, without the place.
    pub message: String,
}

impl SignatureError {
    pub(crate) fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// A typed call: what each argument must be cast to, and what comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Types that the arguments are cast to, one per argument.
    pub arguments: Vec<DataType>,
    /// Type of the result.
    pub returns: DataType,
}

/// The type of TIMESTAMP: an instant in microseconds.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// ARRAY of `element`.
pub(crate) fn array_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

impl FunctionSpec {
    /// Types a call with arguments of `types`, of which some are literals.
    pub fn typing(&self, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<Typing, SignatureError> {
        self.check_count(types.len())?;
        let params: Vec<Param> =
            (0..types.len()).filter_map(|i| self.params.get(i.min(self.params.len().saturating_sub(1))).copied()).collect();
        let same: Vec<&DataType> = types.iter().zip(&params).filter(|(_, p)| **p == Param::Same).map(|(t, _)| t).collect();
        let common = self.common_type(&same)?;
        let mut arguments: Vec<DataType> = Vec::with_capacity(types.len());
        for (index, (given, param)) in types.iter().zip(&params).enumerate() {
            let wanted = match param {
                Param::Same => Some(common.clone()),
                Param::Element => element_type(&mut arguments, given),
                param => wanted_type(*param, given),
            };
            let literal = literals.get(index).and_then(Option::as_ref);
            match wanted {
                Some(DataType::Utf8) if *param == Param::TextLiteral && literal.is_none() => {
                    return Err(SignatureError::new(
                        "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
                        format!("argument {} of {} must be a text literal", index + 1, self.name),
                    ));
                }
                Some(wanted) if coercion::casts_implicitly(given, &wanted) => arguments.push(wanted),
                _ => return Err(self.unexpected(index, *param, given)),
            }
        }
        let returns = self.return_type(&arguments, literals)?;
        Ok(Typing { arguments, returns })
    }

    /// The type of the result for arguments that already have the types that `typing` asks for.
    pub fn return_type(&self, arguments: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
        let argument = |i: usize| arguments.get(i).cloned().unwrap_or(DataType::Null);
        Ok(match self.returns {
            Returns::Text => DataType::Utf8,
            Returns::Binary => DataType::Binary,
            Returns::Boolean => DataType::Boolean,
            Returns::Int => DataType::Int32,
            Returns::Long => DataType::Int64,
            Returns::Double => DataType::Float64,
            Returns::Date => DataType::Date32,
            Returns::Timestamp => timestamp(),
            Returns::Argument(i) => argument(i),
            Returns::Element(i) => match argument(i) {
                DataType::List(field) => field.data_type().clone(),
                other => other,
            },
            Returns::ArrayOf(i) => array_of(argument(i)),
            Returns::OfTypes(of_types) => of_types(arguments),
            Returns::Custom(custom) => custom(arguments, literals)?,
        })
    }

    fn check_count(&self, given: usize) -> Result<(), SignatureError> {
        let most = self.params.len();
        let least = most - self.optional;
        if given >= least && (given <= most || self.variadic) {
            return Ok(());
        }
        let wanted = match (least, self.variadic) {
            (least, true) => format!("at least {least}"),
            (least, false) if least == most => least.to_string(),
            (least, false) => format!("{least} to {most}"),
        };
        let name = self.name;
        Err(SignatureError::new("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("{name} takes {wanted} arguments, but {given} are given")))
    }

    fn common_type(&self, types: &[&DataType]) -> Result<DataType, SignatureError> {
        let mut common = DataType::Null;
        for given in types {
            common = coercion::common_type(&common, given).ok_or_else(|| {
                let types: Vec<String> = types.iter().map(|t| crate::analysis::ddl::type_text(t)).collect();
                SignatureError::new(
                    "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
                    format!("the arguments of {} must have one type, but they are {}", self.name, types.join(", ")),
                )
            })?;
        }
        Ok(common)
    }

    fn unexpected(&self, index: usize, param: Param, given: &DataType) -> SignatureError {
        let given = crate::analysis::ddl::type_text(given);
        let message = format!("argument {} of {} must be {}, but it is {given}", index + 1, self.name, param.words());
        SignatureError::new("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message)
    }
}

impl Param {
    /// True if the argument stays as it is.
    fn takes(self, given: &DataType) -> bool {
        use DataType as D;
        match self {
            Self::Any => true,
            Self::TextOrBinary => matches!(given, D::Binary),
            Self::Number => given.is_numeric(),
            Self::Integer => given.is_integer(),
            Self::DateOrTimestamp | Self::TextOrTime => matches!(given, D::Date32 | D::Timestamp(..)),
            Self::Array | Self::ArrayOrText => matches!(given, D::List(_)),
            Self::Map => matches!(given, D::Map(..)),
            Self::Collection => matches!(given, D::List(_) | D::Map(..)),
            Self::Struct => matches!(given, D::Struct(_)),
            Self::Interval => matches!(given, D::Interval(_)),
            _ => false,
        }
    }

    /// What an argument must be, for messages and the reference.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text | Self::TextLiteral => "STRING",
            Self::Binary => "BINARY",
            Self::TextOrBinary => "STRING or BINARY",
            Self::Boolean => "BOOLEAN",
            Self::Int => "INT",
            Self::Long => "BIGINT",
            Self::Double | Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
            Self::DateOrTimestamp => "DATE or TIMESTAMP",
            Self::TextOrTime => "STRING, DATE or TIMESTAMP",
            Self::Same => "of the type of the other arguments",
            Self::Array => "ARRAY",
            Self::ArrayOrText => "ARRAY or STRING",
            Self::Map => "MAP",
            Self::Collection => "ARRAY or MAP",
            Self::Struct => "STRUCT",
            Self::Interval => "INTERVAL",
            Self::Element => "of the element type of the array",
        }
    }
}

/// The type of the elements of the first argument and `given`; the array is cast to it as well.
fn element_type(arguments: &mut [DataType], given: &DataType) -> Option<DataType> {
    let Some(DataType::List(field)) = arguments.first() else { return None };
    let element = coercion::common_type(field.data_type(), given)?;
    arguments[0] = array_of(element.clone());
    Some(element)
}

/// The type that an argument of type `given` is cast to, `None` if it does not fit at all.
fn wanted_type(param: Param, given: &DataType) -> Option<DataType> {
    use DataType as D;
    if param.takes(given) {
        return Some(given.clone());
    }
    match param {
        Param::Text | Param::TextLiteral | Param::TextOrBinary | Param::TextOrTime | Param::ArrayOrText => Some(D::Utf8),
        Param::Binary => Some(D::Binary),
        Param::Boolean => Some(D::Boolean),
        Param::Int => Some(D::Int32),
        Param::Long | Param::Integer => Some(D::Int64),
        Param::Double | Param::Number => Some(D::Float64),
        Param::Date => Some(D::Date32),
        Param::Timestamp | Param::DateOrTimestamp => Some(timestamp()),
        Param::Array | Param::Collection if given.is_null() => Some(array_of(D::Null)),
        Param::Interval if given.is_null() => Some(D::Interval(IntervalUnit::MonthDayNano)),
        Param::Array | Param::Collection | Param::Map | Param::Struct | Param::Interval | Param::Same | Param::Element | Param::Any => None,
    }
}
