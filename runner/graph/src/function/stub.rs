//! Stand-ins for functions in the plans of the graph: they know their specification and the settings in force, nothing else.
//! The runner puts the implementation of the same name in their place before anything is executed.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion_common::{
    DataFusionError, Result, ScalarValue,
    arrow::datatypes::{DataType, Field, FieldRef},
    internal_err, plan_err,
};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, PartitionEvaluator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, WindowUDF, WindowUDFImpl,
    function::{AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs},
};

use super::{Determinism, FunctionSpec, SqlSettings};

macro_rules! identity_by_name_and_settings {
    ($stub:ident) => {
        impl PartialEq for $stub {
            fn eq(&self, other: &Self) -> bool {
                self.spec.name == other.spec.name && self.settings == other.settings
            }
        }
        impl Eq for $stub {}
        impl Hash for $stub {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.spec.name.hash(state);
                self.settings.hash(state);
            }
        }
    };
}

/// Stand-in for a scalar function. Arguments in plans are cast already to what the specification asks for.
#[derive(Clone, Debug)]
pub struct ScalarStub {
    /// The signature that it stands for.
    pub spec: &'static FunctionSpec,
    /// Settings in force where the call is written.
    pub settings: SqlSettings,
    signature: Signature,
}
identity_by_name_and_settings!(ScalarStub);

/// Stand-in for an aggregate function.
#[derive(Clone, Debug)]
pub struct AggregateStub {
    /// The signature that it stands for.
    pub spec: &'static FunctionSpec,
    /// Settings in force where the call is written.
    pub settings: SqlSettings,
    signature: Signature,
}
identity_by_name_and_settings!(AggregateStub);

/// Stand-in for a window function.
#[derive(Clone, Debug)]
pub struct WindowStub {
    /// The signature that it stands for.
    pub spec: &'static FunctionSpec,
    /// Settings in force where the call is written.
    pub settings: SqlSettings,
    signature: Signature,
}
identity_by_name_and_settings!(WindowStub);

/// The stand-in for `spec` under `settings`.
pub fn scalar_stub(spec: &'static FunctionSpec, settings: &SqlSettings) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(ScalarStub { spec, settings: settings.clone(), signature: signature(spec) }))
}

/// The stand-in for `spec` under `settings`.
pub fn aggregate_stub(spec: &'static FunctionSpec, settings: &SqlSettings) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(AggregateStub { spec, settings: settings.clone(), signature: signature(spec) }))
}

/// The stand-in for `spec` under `settings`.
pub fn window_stub(spec: &'static FunctionSpec, settings: &SqlSettings) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(WindowStub { spec, settings: settings.clone(), signature: signature(spec) }))
}

fn signature(spec: &FunctionSpec) -> Signature {
    let volatility = match spec.determinism {
        Determinism::Deterministic => Volatility::Immutable,
        Determinism::Time => Volatility::Stable,
        Determinism::Random => Volatility::Volatile,
    };
    Signature::user_defined(volatility)
}

fn coerced(spec: &FunctionSpec, types: &[DataType]) -> Vec<DataType> {
    match spec.typing(types, &[]) {
        Ok(typing) => typing.arguments,
        // Planning has cast the arguments; a literal-dependent function cannot be typed a second time without its literals.
        Err(_) => types.to_vec(),
    }
}

fn returned(spec: &FunctionSpec, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType> {
    spec.return_type(types, literals).map_err(|error| DataFusionError::Plan(format!("[{}] {}", error.class, error.message)))
}

impl ScalarUDFImpl for ScalarStub {
    fn name(&self) -> &str {
        self.spec.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(self.spec, types))
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        returned(self.spec, types, &[])
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let literals: Vec<Option<ScalarValue>> = args.scalar_arguments.iter().map(|literal| literal.cloned()).collect();
        Ok(Arc::new(Field::new(self.name(), returned(self.spec, &types, &literals)?, true)))
    }
    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} has no implementation in planning", self.spec.name)
    }
}

impl AggregateUDFImpl for AggregateStub {
    fn name(&self) -> &str {
        self.spec.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(self.spec, types))
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        returned(self.spec, types, &[])
    }
    fn supports_null_handling_clause(&self) -> bool {
        matches!(self.spec.name, "first" | "last" | "any_value" | "nth_value")
    }
    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} has no implementation in planning", self.spec.name)
    }
}

impl WindowUDFImpl for WindowStub {
    fn name(&self) -> &str {
        self.spec.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(self.spec, types))
    }
    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.input_fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(args.name(), returned(self.spec, &types, &[])?, true)))
    }
    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        plan_err!("{} has no implementation in planning", self.spec.name)
    }
}
