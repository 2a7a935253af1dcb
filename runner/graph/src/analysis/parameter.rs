//! Named parameters `:p`: text values, bound after parsing; secret ones are never shown.

use std::{collections::BTreeMap, fmt};

use datafusion_common::{Result, ScalarValue, arrow::datatypes::DataType};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit};

/// The value of one parameter.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The text as given; `:name` is always a STRING.
    pub value: String,
    /// Comes from a Secret: shown as `***` everywhere.
    pub secret: bool,
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secret { "***" } else { &self.value })
    }
}

/// Values by name; names are compared without regard to letter case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// Sets a parameter; a later value of the same name wins.
    pub fn set(&mut self, name: &str, value: impl Into<String>, secret: bool) {
        self.0.insert(name.to_lowercase(), Parameter { value: value.into(), secret });
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(&name.to_lowercase())
    }

    /// All parameters in order of their lower-case names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Parameter)> {
        self.0.iter()
    }

    /// The parameter that `:name` in a query stands for, or what is wrong with it.
    pub(crate) fn bound(&self, placeholder: &str) -> Result<&Parameter, String> {
        let name = placeholder.trim_start_matches([':', '$']);
        if let Some(parameter) = self.get(name).filter(|_| placeholder.starts_with(':')) {
            return Ok(parameter);
        }
        let near = self.0.keys().map(|given| (strsim::damerau_levenshtein(given, &name.to_lowercase()), given)).min();
        let meant = match near.filter(|(distance, _)| *distance <= 2) {
            Some((_, given)) => format!("; did you mean :{given}, which has one?"),
            None => String::new(),
        };
        Err(format!("no value for the parameter {placeholder}; add it to spec.parameters or pass --param {name}=…{meant}"))
    }

    /// The literal for `:name`; a secret one hides its value in every printed plan.
    pub(crate) fn literal(&self, placeholder: &str) -> Result<Expr, String> {
        let parameter = self.bound(placeholder)?;
        if !parameter.secret {
            return Ok(lit(parameter.value.clone()));
        }
        let udf = ScalarUDF::from(SecretParameter {
            name: placeholder.to_string(),
            value: parameter.value.clone(),
            // Volatile keeps the optimizer from putting the value into the plan as a literal.
            signature: Signature::nullary(Volatility::Volatile),
        });
        Ok(udf.call(vec![]))
    }
}

/// A function without arguments that gives the value of a secret parameter. It is its own implementation.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SecretParameter {
    name: String,
    value: String,
    signature: Signature,
}

impl fmt::Debug for SecretParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ***", self.name)
    }
}

impl ScalarUDFImpl for SecretParameter {
    fn name(&self) -> &str {
        &self.name
    }
    fn display_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }
    fn schema_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(self.value.clone()))))
    }
}
