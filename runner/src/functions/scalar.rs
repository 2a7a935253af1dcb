//! A scalar function of the list with its implementation, as DataFusion calls it.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        compute::cast,
        datatypes::{DataType, Field, FieldRef},
    },
    common::{Result, ScalarValue, internal_err},
    logical_expr::{
        Case, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};
use floe_graph::function::{Determinism, FunctionSpec};

use super::{
    call::{Call, Kernel, Settings, first_value},
    error::FunctionError,
};

/// The implementation of one function under the settings of a flow and the time of a batch.
#[derive(Clone, Debug)]
pub(crate) struct ScalarImplementation {
    spec: &'static FunctionSpec,
    settings: Arc<Settings>,
    kernel: Kernel,
    signature: Signature,
}

impl ScalarImplementation {
    pub fn new(spec: &'static FunctionSpec, settings: Arc<Settings>, kernel: Kernel) -> Self {
        // Time is that of the batch, so it is as constant as a literal.
        let volatility = if spec.determinism == Determinism::Random { Volatility::Volatile } else { Volatility::Immutable };
        Self { spec, settings, kernel, signature: Signature::user_defined(volatility) }
    }

    fn returned(&self, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType> {
        let types: Vec<DataType> = types.iter().map(plain_type).collect();
        self.spec.return_type(&types, literals).map_err(|error| FunctionError::new(error.class, error.message).into())
    }
}

impl PartialEq for ScalarImplementation {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && self.settings == other.settings
    }
}

impl Eq for ScalarImplementation {}

impl Hash for ScalarImplementation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
        self.settings.hash(state);
    }
}

/// The type that functions see: readers may give views and dictionaries of text.
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        other => other.clone(),
    }
}

pub(super) fn plain_value(value: ColumnarValue) -> Result<ColumnarValue> {
    let data_type = value.data_type();
    let plain = plain_type(&data_type);
    if plain == data_type { Ok(value) } else { value.cast_to(&plain, None) }
}

impl ScalarUDFImpl for ScalarImplementation {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Planning has cast all arguments already.
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.returned(types, &[])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let literals: Vec<Option<ScalarValue>> = args.scalar_arguments.iter().map(|literal| literal.cloned()).collect();
        Ok(Arc::new(Field::new(self.name(), self.returned(&types, &literals)?, true)))
    }

    fn short_circuits(&self) -> bool {
        self.spec.name == "coalesce"
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if self.spec.name != "coalesce" || args.len() < 2 {
            return Ok(ExprSimplifyResult::Original(args));
        }
        // A CASE evaluates an argument only for the rows that need it.
        let mut args = args;
        let last = args.pop().map(Box::new);
        let branches = args.into_iter().map(|arg| (Box::new(arg.clone().is_not_null()), Box::new(arg))).collect();
        Ok(ExprSimplifyResult::Simplified(Expr::Case(Case::new(None, branches, last))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = self.spec.determinism != Determinism::Random && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let values = args.args.into_iter().map(plain_value).collect::<Result<Vec<_>>>()?;
        let returns = args.return_field.data_type();
        let rows = if constant { 1 } else { args.number_rows };
        let call = Call { name: self.spec.name, args: &values, rows, settings: &self.settings, returns };
        let array = (self.kernel)(&call)?;
        if array.len() != rows {
            return internal_err!("{} gave {} values for {rows} rows", self.spec.name, array.len());
        }
        // The names of inner fields may differ from those that planning promised.
        let array = if array.data_type() == returns { array } else { cast(&array, returns)? };
        Ok(if constant { ColumnarValue::Scalar(first_value(&array)?) } else { ColumnarValue::Array(array) })
    }
}
