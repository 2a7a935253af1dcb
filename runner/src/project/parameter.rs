//! Values of `:name`: the manifest, then the environment for what comes from a Secret or ConfigMap, then the command line.

use floe_crds::pipeline::Parameter;
use floe_graph::analysis::Parameters;

use crate::{failure::Failure, settings::Settings};

/// All values of one update together are at most so many characters.
const MAX_CHARACTERS: usize = 10_000;

/// The parameters, and the values that must be printed nowhere. One without a value is an error where it is used.
pub(super) fn values(declared: &[Parameter], settings: &Settings) -> Result<(Parameters, Vec<String>), Failure> {
    let mut parameters = Parameters::default();
    let mut secrets = Vec::new();
    for (name, value) in &settings.parameters {
        if !declared.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            parameters.set(name, value, false);
        }
    }
    for parameter in declared {
        let is_secret = parameter.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some());
        let given = settings.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(&parameter.name));
        let environment = || settings.environment_parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(&parameter.name));
        let from_outside = given.or_else(|| parameter.value_from.as_ref().and_then(|_| environment())).map(|(_, value)| value);
        let Some(value) = from_outside.or(parameter.value.as_ref()) else { continue };
        parameters.set(&parameter.name, value, is_secret);
        if is_secret {
            secrets.push(value.clone());
        }
    }
    let characters: usize = parameters.iter().map(|(_, parameter)| parameter.value.chars().count()).sum();
    if characters > MAX_CHARACTERS {
        let message = format!("the values of all parameters have {characters} characters, at most {MAX_CHARACTERS} are allowed");
        return Err(Failure::user("PARAMETERS_TOO_LONG", message).help("read large values from a table instead"));
    }
    Ok((parameters, secrets))
}
