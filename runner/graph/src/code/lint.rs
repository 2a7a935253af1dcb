//! Lints.

use super::{Code, code};

pub(super) const LINTS: &[Code] = &[
    code(&["W001"], "Old syntax, as in notebooks of some years ago; also a cell of a notebook that defines nothing: a query, or one in another language than SQL.", "Write the modern form that the help line gives.").kind("lint").example("CREATE LIVE TABLE t AS SELECT id FROM orders;"),
    code(&["W002"], "A table has a query of its own and a flow besides: both append to it.", "If that is meant, write two flows.").kind("lint").example("CREATE STREAMING TABLE t AS SELECT id FROM STREAM(orders);\nCREATE FLOW f AS INSERT INTO ONCE t BY NAME SELECT id FROM orders;"),
    code(&["W003"], "A column has no name of its own.", "Give it one with AS.").kind("lint").example("CREATE TEMPORARY VIEW v AS SELECT id + 1 FROM orders;\nCREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM v;"),
    code(&["W004"], "`ON VIOLATION WARN` says what holds anyway.", "Leave it out.").kind("lint").example("CREATE STREAMING TABLE t (CONSTRAINT a EXPECT (id > 0) ON VIOLATION WARN) AS SELECT id FROM STREAM(orders);"),
    code(&["W005"], "An unknown key that begins with `pipelines.`; the nearest is named. It has no effect.", "Correct it.").kind("lint").example("CREATE STREAMING TABLE t TBLPROPERTIES ('pipelines.reset.alowed' = 'false') AS SELECT id FROM STREAM(orders);"),
    code(&["W006"], "Keys of a DISTINCT over a stream are kept for ever: there is no watermark, or its event time is not among the keys.", "Declare a watermark and put its column among the keys, or write `WITHIN WATERMARK`.").kind("lint").example("CREATE STREAMING TABLE t AS SELECT DISTINCT ON (id) id FROM STREAM(orders);"),
    code(&["W007"], "A setting, property or option that has no effect here.", "Leave it out.").kind("lint").example("SET spark.sql.shuffle.partitions = 8;\nCREATE MATERIALIZED VIEW m AS SELECT id FROM orders;"),
    code(&["W008"], "A table property that is not applied, so that every reader can read the table.", "Leave it out.").kind("lint").example("CREATE STREAMING TABLE t TBLPROPERTIES ('delta.columnMapping.mode' = 'name') AS SELECT id FROM STREAM(orders);"),
    code(&["W009"], "A column of a history changes alone in more than nine of ten new rows, so most versions differ by it only. Told by the update that wrote them.", "Leave the column out with `TRACK HISTORY ON * EXCEPT (…)`.").kind("lint"),
    code(&["W010"], "An aggregate over a text literal: double quotes are strings. It is computed as it is written.", "Write the column without quotes.").kind("lint").example("CREATE MATERIALIZED VIEW m AS SELECT count(\"id\") AS n FROM orders;"),
    code(&["W011"], "A path as Databricks has them (`/Volumes/…`, `dbfs:/…`), and nothing says where it is in storage.", "Add its prefix to `spec.pathMappings`.").kind("lint").example("CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_files('/Volumes/main/raw/orders', format => 'json', schema => 'id BIGINT');"),
    code(&["W012"], "Files were read that look like another format: JSON or XML as CSV, or files of which no record is JSON as JSON. Told by the update that read them.", "Correct `format`, or leave such files out with `pathGlobFilter`.").kind("lint"),
];
