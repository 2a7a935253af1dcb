//! Stand-ins for functions that take functions. A call is an ordinary scalar function that carries the bodies of its lambdas: what they read of
//! the row is an argument of the call, so the engine sees every column that is needed.

use std::{fmt::Write, sync::Arc};

use datafusion_common::{
    Result,
    arrow::datatypes::{DataType, Field, FieldRef},
    internal_err,
    tree_node::{TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::{LAMBDAS, LambdaKind, LambdaSpec, SORT_BY_LAMBDA};

/// The function of that name or alias that takes a function, letter case ignored. `array_sort` is one only with a lambda.
pub fn higher_order(name: &str, with_lambda: bool) -> Option<&'static LambdaSpec> {
    let is_called =
        |spec: &&LambdaSpec| spec.name.eq_ignore_ascii_case(name) || spec.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name));
    LAMBDAS.iter().chain(with_lambda.then_some(&SORT_BY_LAMBDA)).find(is_called)
}

/// A lambda over a small table of its own: its parameters and what it captures are columns of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LambdaBody {
    /// Names of the columns that hold the parameters; there may be fewer than the function hands in.
    pub parameters: Vec<String>,
    /// How many values it captures; they are columns with the names of `capture_name`.
    pub captures: usize,
    /// What it gives.
    pub body: Expr,
}

/// The column that holds a captured value.
pub fn capture_name(index: usize) -> String {
    // Names of parameters hold a number sign, so none is like this.
    format!("captured {index}")
}

/// A typed call of a function that takes functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LambdaCall {
    /// Lower-case name of the function.
    pub name: &'static str,
    /// What it does.
    pub kind: LambdaKind,
    /// How many arguments come before the captured values of the lambdas.
    pub values: usize,
    /// Types of the parameters of each lambda, those that the lambda does not use included.
    pub parameters: Vec<Vec<DataType>>,
    /// The lambdas.
    pub bodies: Vec<LambdaBody>,
    /// Type of the result.
    pub returns: DataType,
}

impl LambdaCall {
    /// The name in plans: it shows the lambdas, so that calls with other lambdas are other calls.
    pub fn plan_name(&self) -> String {
        let mut name = self.name.to_string();
        for lambda in &self.bodies {
            // Writing to a text never fails.
            let _ = write!(name, "[({}) -> {}]", lambda.parameters.join(", "), lambda.body);
        }
        name
    }

    /// As volatile as the most volatile function in a lambda.
    pub fn volatility(&self) -> Volatility {
        let mut most = Volatility::Immutable;
        for lambda in &self.bodies {
            let visited = lambda.body.apply(|node| {
                if let Expr::ScalarFunction(call) = node {
                    most = most.max(call.func.signature().volatility);
                }
                Ok(TreeNodeRecursion::Continue)
            });
            debug_assert!(visited.is_ok(), "the visitor never fails");
        }
        most
    }
}

/// Stand-in for a function that takes functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LambdaStub {
    /// The call that it stands for.
    pub call: LambdaCall,
    plan_name: String,
    signature: Signature,
}

/// The stand-in for a call.
pub fn lambda_stub(call: LambdaCall) -> Arc<ScalarUDF> {
    let (plan_name, signature) = (call.plan_name(), Signature::user_defined(call.volatility()));
    Arc::new(ScalarUDF::from(LambdaStub { call, plan_name, signature }))
}

impl ScalarUDFImpl for LambdaStub {
    fn name(&self) -> &str {
        &self.plan_name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.call.returns.clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.call.name, self.call.returns.clone(), true)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} has no implementation in planning", self.call.name)
    }
}
