//! Queries.

use super::{Code, code};

pub(super) const QUERIES: &[Code] = &[
    code(
        &["INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH"],
        "A lambda has more or fewer parameters than its function hands in.",
        "The list of functions says what each hands in.",
    )
    .example("CREATE MATERIALIZED VIEW t AS SELECT transform(items, (a, b, c) -> a) AS t FROM orders"),
    code(&["INVALID_LAMBDA_FUNCTION_CALL.DUPLICATE_ARG_NAMES"], "Two parameters of a lambda have one name.", "Give each its own name.")
        .example("CREATE MATERIALIZED VIEW t AS SELECT transform(items, (x, x) -> x) AS t FROM orders"),
    code(
        &["INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION"],
        "The function takes no lambda.",
        "`transform`, `filter`, `exists`, `forall`, `aggregate` and others do.",
    )
    .example("CREATE MATERIALIZED VIEW t AS SELECT upper(x -> x) AS u FROM orders"),
    code(
        &["DATATYPE_MISMATCH.INVALID_ARG_VALUE"],
        "An argument is none of the words that a function knows.",
        "One of those in the message.",
    ),
    code(
        &["UNRESOLVED_COLUMN.WITH_SUGGESTION"],
        "No relation of the query has a column of that name; the nearest are named.",
        "Correct the name. Text belongs in single or double quotes, names with blanks in backticks.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT custmer FROM orders;"),
    code(
        &["UNRESOLVED_COLUMN.WITHOUT_SUGGESTION"],
        "No relation of the query has the column, nor one like it.",
        "Correct the name. Text belongs in quotes.",
    ),
    code(&["FIELD_NOT_FOUND"], "The struct has no field of that name; its fields are listed.", "Correct the name of the field.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT items[0].skuu AS s FROM orders;"),
    code(&["AMBIGUOUS_REFERENCE"], "Two relations of FROM have the column.", "Write it with the name or alias of its table.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders a JOIN orders b ON a.at = b.at;"),
    code(
        &["UNRESOLVED_USING_COLUMN_FOR_JOIN"],
        "A column of USING is missing on one side of the join.",
        "Name a column of both sides, or write ON.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders JOIN (SELECT 1 AS one) USING (id);"),
    code(&["UNRESOLVED_ROUTINE"], "There is no function of that name; near names are given.", "Look into the reference of functions.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT dat_trunc('DAY', at) AS d FROM orders;"),
    code(
        &["UNRESOLVABLE_TABLE_VALUED_FUNCTION"],
        "There is no function of that name for FROM.",
        "The functions for FROM are `read_files`, `STREAM`, `event_log` (in `floe sql`), and generators behind LATERAL.",
    )
    .example("CREATE STREAMING TABLE t AS SELECT * FROM read_file('in');"),
    code(&["WRONG_NUM_ARGS.WITHOUT_SUGGESTION"], "A function has too few or too many arguments.", "Look into the reference of functions.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT upper() AS u FROM orders;"),
    code(&["INVALID_SQL_SYNTAX.FUNCTION"], "FILTER or IGNORE NULLS behind a function that is no aggregate.", "Leave it out."),
    code(
        &["INVALID_FORMAT.ESC_IN_THE_MIDDLE"],
        "In a `LIKE` pattern the escape character stands before an ordinary character.",
        "Escape only `%`, `_` and the escape character itself.",
    ),
    code(
        &["DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"],
        "Two values of types that cannot be compared or computed with each other.",
        "Cast one of them.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders WHERE items > 1;"),
    code(&["DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"], "DIV of FLOAT, DOUBLE or text.", "Write `CAST(a / b AS BIGINT)`.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT 7.5D DIV 2 AS n;"),
    code(
        &["DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"],
        "A CAST between types that have nothing in common.",
        "Go by way of a field, an element or `to_json`.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT CAST(items AS INT) AS n FROM orders;"),
    code(
        &["DATATYPE_MISMATCH.DATA_DIFF_TYPES"],
        "Values that must be of one type (branches of CASE, elements of an array) have none in common.",
        "Cast them to one type.",
    ),
    code(
        &["DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN"],
        "A condition of WHERE, ON, HAVING or QUALIFY is no BOOLEAN.",
        "Compare the value with something.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders WHERE amount;"),
    code(&["DATATYPE_MISMATCH.INVALID_JSON_SCHEMA"], "The type cannot be read from, or written as, JSON.", "Cast the column before."),
    code(
        &["DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"],
        "Rows cannot be ordered by a value of this type, such as a MAP.",
        "Order by its parts.",
    ),
    code(
        &["DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "NON_FOLDABLE_ARGUMENT"],
        "An argument must be a literal, because it decides the type of the result.",
        "Write it as a literal or a parameter.",
    ),
    code(
        &["DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION"],
        "An argument is outside of the values that make sense, such as a slide that is longer than its window.",
        "A value as the message says.",
    ),
    code(
        &["DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"],
        "A function or operator does not take a value of this type; the message says which ones it does.",
        "Cast the value.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT year(true) AS y FROM orders;"),
    code(
        &["DATATYPE_MISMATCH.HASH_MAP_TYPE"],
        "The hash of a MAP is asked for. Entries of a map have no order, so equal maps would have different hashes.",
        "Hash `array_sort(map_entries(m))`, or the keys that matter.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT hash(map(id, 1)) AS h FROM orders;"),
    code(&["DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"], "An argument is too large or too small.", "A value as the message says."),
    code(&["UNSUPPORTED_DATATYPE"], "A type that Floe does not know.", "The types are in the guide, under SQL."),
    code(
        &["INVALID_TYPED_LITERAL"],
        "A literal such as `DATE '…'` or `X'…'` has a text that is no value of its type.",
        "Correct the text. A CAST of text gives NULL instead, with ANSI on an error.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT * FROM orders WHERE at < DATE '2024-02-30';"),
    code(
        &["UNSUPPORTED_TYPED_LITERAL"],
        "A type stands before a text as if it made a literal, but it has none of this form.",
        "Write `CAST('…' AS type)`.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT INT '5' AS five FROM orders;"),
    code(&["INVALID_NUMERIC_LITERAL_RANGE"], "A number does not fit its type.", "Another suffix, or none."),
    code(&["INVALID_INTERVAL_FORMAT"], "The text is no interval.", "Write `INTERVAL 7 DAYS` or `INTERVAL '1 day 2 hours'`.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT at + INTERVAL '3 fortnights' AS later FROM orders;"),
    code(&["INVALID_SCHEMA.PARSE_ERROR"], "The text of a schema cannot be read.", "Write `name TYPE, name TYPE`, as in a table."),
    code(
        &["INVALID_AGGREGATE"],
        "An aggregate stands where rows are not grouped yet: in WHERE, ON, GROUP BY, or inside another aggregate.",
        "Use HAVING, or a subquery.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders WHERE sum(amount) > 1;"),
    code(
        &["MISSING_AGGREGATION"],
        "A column is neither in GROUP BY nor inside an aggregate.",
        "Add it to GROUP BY (or write `GROUP BY ALL`), or use `any_value(column)`.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT customer, sum(amount) AS total FROM orders;"),
    code(&["GROUP_BY_AGGREGATE"], "Rows are grouped by an aggregate.", "Aggregate in a subquery and group its result.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT sum(amount) AS total FROM orders GROUP BY total;"),
    code(
        &["ORDER_BY_POS_OUT_OF_RANGE"],
        "ORDER BY or GROUP BY names a column by a number that the SELECT list does not have.",
        "Count from 1.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders ORDER BY 2;"),
    code(&["WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE"], "A window function has no `OVER (…)`.", "Add `OVER (PARTITION BY … ORDER BY …)`.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT row_number() AS n FROM orders;"),
    code(&["UNSUPPORTED_EXPR_FOR_OPERATOR"], "A window function stands in WHERE, GROUP BY or HAVING.", "Use QUALIFY.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders WHERE row_number() OVER (ORDER BY id) = 1;"),
    code(
        &["NUM_COLUMNS_MISMATCH"],
        "The queries of UNION, INTERSECT or EXCEPT have different numbers of columns, or with BY NAME different names.",
        "Select the same columns in both.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders UNION ALL SELECT id, at FROM orders;"),
    code(&["INCOMPATIBLE_COLUMN_TYPE"], "Columns of UNION, INTERSECT or EXCEPT have no common type.", "Cast one of them.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT items FROM orders UNION ALL SELECT at FROM orders;"),
    code(&["ASSIGNMENT_ARITY_MISMATCH"], "An alias names more or fewer columns than the relation has.", "As many names as columns."),
    code(
        &["UDTF_ALIAS_NUMBER_MISMATCH"],
        "An alias of a generator names more or fewer columns than it gives.",
        "As many names as columns.",
    ),
    code(&["INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH"], "Rows of VALUES have different lengths.", "As many values in each row."),
    code(&["INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE"], "A column of VALUES has no common type.", "Cast the values."),
    code(
        &["INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN"],
        "A subquery that is a value has several columns.",
        "Select one, or a struct of them.",
    ),
    code(&["INVALID_LIMIT_LIKE_EXPRESSION.DATA_TYPE"], "LIMIT or OFFSET is no whole number.", "Write a number from 0 on."),
    code(&["INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE"], "LIMIT or OFFSET is an expression.", "Write a literal number."),
    code(&["UNSUPPORTED_GENERATOR.MULTI_GENERATOR"], "Two generators in one SELECT.", "Use LATERAL VIEW, once for each.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT explode(items) AS a, explode(items) AS b FROM orders;"),
    code(
        &["UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS"],
        "A generator such as `explode` is part of an expression.",
        "Let it stand alone in SELECT, or behind LATERAL, and compute in a query around it.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT size(explode(items)) AS n FROM orders;"),
    code(
        &["INVALID_EXTRACT_BASE_FIELD_TYPE"],
        "`x[…]` of what is no array, map or struct.",
        "Take it of a collection; parts of text are `substring`.",
    ),
    code(&["INVALID_EXTRACT_FIELD_TYPE"], "A field of a struct is not named by a text literal.", "Write `x.field` or `x['field']`."),
    code(&["INVALID_USAGE_OF_STAR_OR_REGEX"], "`*` where there is nothing that it could stand for.", "Add FROM, or name the columns.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT *;"),
    code(
        &["IN_SUBQUERY_DATA_TYPE_MISMATCH"],
        "The subquery of IN has several columns, or one of another type.",
        "Select one column of the type of the value.",
    ),
    code(
        &["EXPRESSION_NESTED_TOO_DEEPLY"],
        "An expression is nested more than 100 deep, or a chain has more than 150 arithmetic operators or 1,000 conditions.",
        "Use subqueries, IN lists or a join with a table of values.",
    ),
    code(
        &["INVALID_QUERY"],
        "The planner refuses the query; its words say why.",
        "Correct what they name; if the query is right, please report it.",
    ),
    code(
        &["INVALID_IDENTIFIER"],
        "The text in `IDENTIFIER(…)` is no name.",
        "Letters, digits and `_`, or backticks; dots between the parts.",
    ),
    code(
        &["IDENTIFIER_TOO_MANY_NAME_PARTS"],
        "The name in `IDENTIFIER(…)` has more than three parts.",
        "`catalog.schema.name` are the most.",
    ),
    code(
        &["UNSUPPORTED_SQL_STATEMENT"],
        "A statement that does more than read, in `floe sql` or in a task of a Job.",
        "Tables are changed by the files of a pipeline and its updates.",
    ),
    code(&["INVALID_VERSION"], "What stands behind VERSION AS OF is no version.", "Write a number from 0 on."),
    code(&["VERSION_NOT_FOUND"], "The table has no such version.", "The message says which ones there are."),
    code(&["UNSUPPORTED_TIME_TRAVEL"], "This relation has no versions to go back to.", "Read a stored table."),
    code(&["INVALID_INSTANT"], "An instant cannot be read.", "Write `2024-01-31T10:00:00Z`, or an age such as `2h`."),
    code(&["FILE_NOT_READABLE"], "A file that the command line names cannot be read.", "Correct path and rights."),
    code(
        &["MISSING_WINDOW_SPECIFICATION"],
        "`OVER w` without a WINDOW clause that says what w is, or one that says it twice.",
        "Add `WINDOW w AS (PARTITION BY … ORDER BY …)` behind HAVING.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT sum(amount) OVER w AS s FROM orders;"),
    code(
        &["REPETITIVE_WINDOW_DEFINITION"],
        "`OVER w` without a WINDOW clause that says what w is, or one that says it twice.",
        "Add `WINDOW w AS (PARTITION BY … ORDER BY …)` behind HAVING.",
    ),
    code(
        &["UNSUPPORTED_GROUPING_EXPRESSION"],
        "`grouping` or `grouping_id` without ROLLUP, CUBE or GROUPING SETS, or of what is not grouped by.",
        "Use it with an expression of GROUP BY that some of the sets leave out.",
    )
    .example("CREATE MATERIALIZED VIEW m AS SELECT customer, grouping(customer) AS g FROM orders GROUP BY customer;"),
    code(
        &["GROUPING_SIZE_LIMIT_EXCEEDED"],
        "GROUP BY makes more than 1,024 grouping sets.",
        "List the sets that are needed with GROUPING SETS.",
    ),
    code(
        &["PIVOT_VALUE_DATA_TYPE_MISMATCH", "UNPIVOT_VALUE_SIZE_MISMATCH", "UNPIVOT_REQUIRES_ATTRIBUTES"],
        "A value of PIVOT has another number of parts than its columns; UNPIVOT lists something else than columns, or groups of another size.",
        "As many values as columns; compute expressions in a subquery.",
    ),
];
