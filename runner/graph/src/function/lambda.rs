//! Stand-ins for functions that take functions. Planning types the call as a whole: the stand-in knows the types of the lambdas' parameters
//! and of the result.

use std::sync::Arc;

use datafusion_common::{
    Result,
    arrow::datatypes::{DataType, Field, FieldRef},
    internal_err,
};
use datafusion_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF, HigherOrderUDFImpl,
    LambdaParametersProgress, ValueOrLambda, Volatility,
};

use super::{LAMBDAS, LambdaKind, LambdaSpec, SORT_BY_LAMBDA, SqlSettings};

/// The function of that name or alias that takes a function, letter case ignored. `array_sort` is one only with a lambda.
pub fn higher_order(name: &str, with_lambda: bool) -> Option<&'static LambdaSpec> {
    let is_called =
        |spec: &&LambdaSpec| spec.name.eq_ignore_ascii_case(name) || spec.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name));
    LAMBDAS.iter().chain(with_lambda.then_some(&SORT_BY_LAMBDA)).find(is_called)
}

/// A typed call of a function that takes functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LambdaCall {
    /// Lower-case name of the function.
    pub name: &'static str,
    /// What it does.
    pub kind: LambdaKind,
    /// Types of the parameters of each lambda, those that the lambda does not use included.
    pub parameters: Vec<Vec<DataType>>,
    /// Type of the result.
    pub returns: DataType,
}

impl LambdaCall {
    /// The answer to DataFusion's question for the parameters of the lambdas.
    pub fn lambda_parameters(&self) -> LambdaParametersProgress {
        let field = |data_type: &DataType| -> FieldRef { Arc::new(Field::new("", data_type.clone(), true)) };
        LambdaParametersProgress::Complete(self.parameters.iter().map(|types| types.iter().map(field).collect()).collect())
    }

    /// The result as a field.
    pub fn return_field(&self) -> FieldRef {
        Arc::new(Field::new(self.name, self.returns.clone(), true))
    }
}

/// Stand-in for a function that takes functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LambdaStub {
    /// The call that it stands for.
    pub call: LambdaCall,
    /// Settings in force where the call is written.
    pub settings: SqlSettings,
    signature: HigherOrderSignature,
}

/// The stand-in for a call.
pub fn lambda_stub(call: LambdaCall, settings: &SqlSettings) -> Arc<HigherOrderUDF> {
    let signature = HigherOrderSignature::variadic_any(Volatility::Immutable);
    Arc::new(HigherOrderUDF::new_from_impl(LambdaStub { call, settings: settings.clone(), signature }))
}

impl HigherOrderUDFImpl for LambdaStub {
    fn name(&self) -> &str {
        self.call.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(&self, _step: usize, _fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>]) -> Result<LambdaParametersProgress> {
        Ok(self.call.lambda_parameters())
    }

    fn return_field_from_args(&self, _args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        Ok(self.call.return_field())
    }

    fn invoke_with_args(&self, _args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} has no implementation in planning", self.call.name)
    }
}
