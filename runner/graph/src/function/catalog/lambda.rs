//! Functions that take functions: `transform(a, x -> x + 1)`.

/// What a function does with its lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LambdaKind {
    /// `transform(array, x -> …)`.
    Transform,
    /// `filter(array, x -> …)`.
    Filter,
    /// `exists(array, x -> …)`.
    Exists,
    /// `forall(array, x -> …)`.
    ForAll,
    /// `aggregate(array, start, (sum, x) -> …[, sum -> …])`.
    Aggregate,
    /// `zip_with(left, right, (x, y) -> …)`.
    ZipWith,
    /// `array_sort(array, (left, right) -> …)`.
    ArraySort,
    /// `map_filter(map, (k, v) -> …)`.
    MapFilter,
    /// `transform_keys(map, (k, v) -> …)`.
    TransformKeys,
    /// `transform_values(map, (k, v) -> …)`.
    TransformValues,
    /// `map_zip_with(left, right, (k, x, y) -> …)`.
    MapZipWith,
}

/// A function that takes functions.
#[derive(Debug)]
pub struct LambdaSpec {
    /// Lower-case name.
    pub name: &'static str,
    /// Other names, in lower case.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub kind: LambdaKind,
    /// Arguments before the lambdas.
    pub values: usize,
    /// Most and fewest lambdas.
    pub lambdas: (usize, usize),
    /// Arguments as users write them.
    pub arguments: &'static str,
    /// Type of the result.
    pub returns: &'static str,
    /// The semantics, for the implementation and for the reference.
    pub doc: &'static str,
}

impl LambdaSpec {
    const fn new(name: &'static str, kind: LambdaKind, values: usize, written: [&'static str; 3]) -> Self {
        let [arguments, returns, doc] = written;
        Self { name, aliases: &[], kind, values, lambdas: (1, 1), arguments, returns, doc }
    }
}

/// Functions that take functions. A lambda may use columns and the parameters of lambdas around it; its parameters hide columns of that name.
pub static LAMBDAS: &[LambdaSpec] = &[
    LambdaSpec::new(
        "transform",
        LambdaKind::Transform,
        1,
        [
            "array, x -> any",
            "ARRAY of the lambda's result",
            "The lambda of every element. With two parameters, (x, i) -> …, the second is the position from 0.",
        ],
    ),
    LambdaSpec::new(
        "filter",
        LambdaKind::Filter,
        1,
        [
            "array, x -> BOOLEAN",
            "as argument 1",
            "The elements for which the lambda is true. With two parameters the second is the position from 0.",
        ],
    ),
    LambdaSpec::new(
        "exists",
        LambdaKind::Exists,
        1,
        ["array, x -> BOOLEAN", "BOOLEAN", "True if the lambda is true for an element; NULL if it is not and is NULL for one."],
    ),
    LambdaSpec::new(
        "forall",
        LambdaKind::ForAll,
        1,
        [
            "array, x -> BOOLEAN",
            "BOOLEAN",
            "False if the lambda is false for an element; NULL if it is not and is NULL for one; true for an empty array.",
        ],
    ),
    LambdaSpec {
        aliases: &["reduce"],
        lambdas: (2, 1),
        ..LambdaSpec::new(
            "aggregate",
            LambdaKind::Aggregate,
            2,
            [
                "array, start, (sum, x) -> T[, sum -> any]",
                "T, or the result of the last lambda",
                "Starts with the second argument and takes in one element after the other; the last lambda is applied to the end result. What the \
             lambda gives must fit the type of the start: sum DOUBLEs from 0D.",
            ],
        )
    },
    LambdaSpec::new(
        "zip_with",
        LambdaKind::ZipWith,
        2,
        [
            "array, array, (x, y) -> any",
            "ARRAY of the lambda's result",
            "The lambda of both elements at each position; the shorter array counts as filled up with NULL.",
        ],
    ),
    LambdaSpec::new(
        "map_filter",
        LambdaKind::MapFilter,
        1,
        ["map, (k, v) -> BOOLEAN", "as argument 1", "The entries for which the lambda is true."],
    ),
    LambdaSpec::new(
        "transform_keys",
        LambdaKind::TransformKeys,
        1,
        [
            "map, (k, v) -> any",
            "MAP",
            "The map with the lambda's results as keys. A NULL key is [NULL_MAP_KEY], a key twice [DUPLICATED_MAP_KEY].",
        ],
    ),
    LambdaSpec::new(
        "transform_values",
        LambdaKind::TransformValues,
        1,
        ["map, (k, v) -> any", "MAP", "The map with the lambda's results as values."],
    ),
    LambdaSpec::new(
        "map_zip_with",
        LambdaKind::MapZipWith,
        2,
        ["map, map, (k, x, y) -> any", "MAP", "The lambda of both values of every key of either map, NULL for a value that is not there."],
    ),
];

/// `array_sort` with a comparison; without one it is a plain function.
pub static SORT_BY_LAMBDA: LambdaSpec = LambdaSpec::new(
    "array_sort",
    LambdaKind::ArraySort,
    1,
    [
        "array, (left, right) -> INT",
        "as argument 1",
        "Sorted by a lambda that is negative, 0 or positive as left is before, beside or behind right; NULL is [COMPARATOR_RETURNS_NULL].",
    ],
);
