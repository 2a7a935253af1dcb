//! The functions that SQL may call, as data: names, kinds, argument and result types. The implementations are in the runner,
//! and one test there proves that both lists are equal.
//!
//! Names that start with `$` are operators of the dialect; SQL cannot write them, planning puts them into plans.

mod catalog;
pub mod coercion;
pub mod date_pattern;
mod lambda;
pub mod pattern;
mod signature;
mod stub;

pub use catalog::{
    AGGREGATES, GENERATORS, LAMBDAS, LambdaKind, LambdaSpec, REFUSED, RefusedFunctions, SCALAR_GROUPS, SORT_BY_LAMBDA, SYNTAX, WINDOWS,
    WrittenFunction,
};
pub(crate) use catalog::{map_type as map_of, map_types};
pub use lambda::{LambdaBody, LambdaCall, LambdaStub, capture_name, higher_order, lambda_stub};
pub use signature::{Param, Returns, SignatureError, Typing};
pub(crate) use signature::{array_of, timestamp as timestamp_type};
pub use stub::{AggregateStub, ScalarStub, WindowStub, aggregate_stub, scalar_stub, window_stub};

/// What settings decide about the meaning of expressions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlSettings {
    /// `spark.sql.ansi.enabled`: invalid casts and parses, division by zero and bad indexes are errors instead of NULL.
    pub ansi: bool,
    /// `spark.sql.session.timeZone`, an IANA name or an offset such as `+02:00`.
    pub time_zone: String,
}

impl Default for SqlSettings {
    fn default() -> Self {
        Self { ansi: false, time_zone: "UTC".to_string() }
    }
}

impl SqlSettings {
    /// The values of a flow's `SET` statements; other keys are ignored.
    pub fn from_settings<'a>(settings: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut result = Self::default();
        for (key, value) in settings {
            if key.eq_ignore_ascii_case("spark.sql.ansi.enabled") {
                result.ansi = value.trim().eq_ignore_ascii_case("true");
            } else if key.eq_ignore_ascii_case("spark.sql.session.timeZone") {
                result.time_zone = value.trim().to_string();
            }
        }
        result
    }
}

/// What a function does with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One value per row.
    Scalar,
    /// One value per group, or per window frame.
    Aggregate,
    /// One value per row of a window partition.
    Window,
    /// Many rows per row (`explode`).
    Generator,
    /// Planned into other expressions; has no implementation of its own.
    Syntax,
}

/// What besides its arguments decides the result of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Determinism {
    /// Nothing (session settings apart).
    Deterministic,
    /// The time of the batch.
    Time,
    /// Chance, or the place of the row in its file.
    Random,
}

/// One function: what planning must know of it.
#[derive(Debug)]
pub struct FunctionSpec {
    /// Lower-case name, also the name of the implementation.
    pub name: &'static str,
    /// Other names of the same function, in lower case.
    pub aliases: &'static [&'static str],
    /// What it does with rows.
    pub kind: FunctionKind,
    /// Kinds of the parameters in order.
    pub params: &'static [Param],
    /// How many of the last parameters may be left out.
    pub optional: usize,
    /// The last parameter may be repeated.
    pub variadic: bool,
    /// How the type of the result follows from the arguments.
    pub returns: Returns,
    /// What besides the arguments decides the result.
    pub determinism: Determinism,
    /// The semantics, for the implementation and for the reference documentation.
    pub doc: &'static str,
}

impl FunctionSpec {
    const fn new(kind: FunctionKind, name: &'static str, params: &'static [Param], returns: Returns, doc: &'static str) -> Self {
        Self { name, aliases: &[], kind, params, optional: 0, variadic: false, returns, determinism: Determinism::Deterministic, doc }
    }

    const fn scalar(name: &'static str, params: &'static [Param], returns: Returns, doc: &'static str) -> Self {
        Self::new(FunctionKind::Scalar, name, params, returns, doc)
    }

    const fn aggregate(name: &'static str, params: &'static [Param], returns: Returns, doc: &'static str) -> Self {
        Self::new(FunctionKind::Aggregate, name, params, returns, doc)
    }

    const fn window(name: &'static str, params: &'static [Param], returns: Returns, doc: &'static str) -> Self {
        Self::new(FunctionKind::Window, name, params, returns, doc)
    }

    const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn optional(self, optional: usize) -> Self {
        Self { optional, ..self }
    }

    const fn variadic(self) -> Self {
        Self { variadic: true, ..self }
    }

    const fn determinism(self, determinism: Determinism) -> Self {
        Self { determinism, ..self }
    }

    /// True if SQL may write `name` for this function.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }
}

/// Every scalar function with an implementation in the runner, operators included.
pub fn scalars() -> impl Iterator<Item = &'static FunctionSpec> {
    SCALAR_GROUPS.iter().flat_map(|group| group.iter())
}

/// The scalar function of that name or alias, letter case ignored.
pub fn scalar(name: &str) -> Option<&'static FunctionSpec> {
    scalars().find(|spec| spec.answers_to(name))
}

/// The aggregate function of that name or alias, letter case ignored.
pub fn aggregate(name: &str) -> Option<&'static FunctionSpec> {
    AGGREGATES.iter().find(|spec| spec.answers_to(name))
}

/// The pure window function of that name or alias, letter case ignored.
pub fn window(name: &str) -> Option<&'static FunctionSpec> {
    WINDOWS.iter().find(|spec| spec.answers_to(name))
}

/// The generator of that name, letter case ignored, as its canonical name.
pub fn generator(name: &str) -> Option<&'static str> {
    GENERATORS.iter().map(|generator| generator.name).find(|known| known.eq_ignore_ascii_case(name))
}

/// The name as the planner knows it, if the planner writes this function as other expressions.
pub fn syntax(name: &str) -> Option<&'static str> {
    SYNTAX.iter().map(|syntax| syntax.name).find(|known| known.eq_ignore_ascii_case(name))
}

/// Why this release knows and refuses a function of Databricks; `None` if it does not.
pub fn refusal(name: &str) -> Option<&'static str> {
    if name.to_lowercase().starts_with("ai_") {
        return Some("it calls a service that Floe does not have");
    }
    REFUSED.iter().find(|refused| refused.names.iter().any(|known| known.eq_ignore_ascii_case(name))).map(|refused| refused.reason)
}

/// Up to three known names near `name`, nearest first.
pub fn near_names(name: &str) -> Vec<&'static str> {
    let wanted = name.to_lowercase();
    let specs = scalars().chain(AGGREGATES).chain(WINDOWS);
    let names = specs.flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    let lambdas = LAMBDAS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    let written = SYNTAX.iter().chain(GENERATORS).map(|written| written.name);
    let names = names.filter(|known| !known.starts_with('$')).chain(written).chain(lambdas);
    let mut near: Vec<(usize, &'static str)> =
        names.map(|known| (strsim::osa_distance(&wanted, known), known)).filter(|(d, known)| *d <= 2.max(known.len() / 3)).collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests;
