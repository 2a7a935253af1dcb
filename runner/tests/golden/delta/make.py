"""Makes the Delta tables of this folder with Apache Spark 4.0 and Delta 4.0, and prints what Spark itself reads from them.

    pip install pyspark==4.0.0 delta-spark==4.0.0
    python make.py OUT

The tables are committed as they came out; tests compare what Floe reads with the values that stand in `tests/promises/delta_shapes.rs`.
"""

import pathlib
import shutil
import sys

from delta import DeltaTable, configure_spark_with_delta_pip
from pyspark.sql import SparkSession
from pyspark.sql.types import StringType

OUT = pathlib.Path(sys.argv[1]).absolute()
builder = (
    SparkSession.builder.master("local[1]")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.databricks.delta.checkpointV2.topLevelFileFormat", "json")
    .config("spark.ui.enabled", "false")
)
spark = configure_spark_with_delta_pip(builder).getOrCreate()
spark.sparkContext.setLogLevel("ERROR")


def at(name):
    return f"delta.`{OUT / name}`"


def sql(*statements):
    for statement in statements:
        spark.sql(statement)


def create(name, columns, more="", **properties):
    shutil.rmtree(OUT / name, ignore_errors=True)
    listed = ", ".join(f"'{key.replace('_', '.')}' = '{value}'" for key, value in properties.items())
    sql(f"CREATE TABLE {at(name)} ({columns}) USING delta {more} TBLPROPERTIES ({listed or chr(39) + 'quality' + chr(39) + ' = ' + chr(39) + 'x' + chr(39)})")


def insert(name, values):
    spark.sql(f"INSERT INTO {at(name)} SELECT * FROM VALUES {values}")


# Rows that deletion vectors mark, and rows that came later.
create("deletion_vectors", "id BIGINT, name STRING", delta_enableDeletionVectors="true")
spark.sql(f"INSERT INTO {at('deletion_vectors')} SELECT /*+ COALESCE(1) */ id, concat('n', id) FROM range(1, 11)")
sql(f"DELETE FROM {at('deletion_vectors')} WHERE id IN (3, 7)")
insert("deletion_vectors", "(11, 'n11'), (12, 'n12')")

# Names of columns that are not those of the files: renamed, dropped and added ones, within structs and as partitions.
create(
    "mapping_name",
    "id BIGINT, person STRUCT<first: STRING, last: STRING>, tags ARRAY<STRUCT<k: STRING, v: INT>>, gone STRING, day DATE",
    "PARTITIONED BY (day)",
    delta_columnMapping_mode="name",
)
insert("mapping_name", "(1, named_struct('first', 'Ada', 'last', 'L'), array(named_struct('k', 'a', 'v', 1)), 'g', DATE'2024-01-01')")
sql(
    f"ALTER TABLE {at('mapping_name')} RENAME COLUMN id TO ident",
    f"ALTER TABLE {at('mapping_name')} RENAME COLUMN person.last TO family",
    f"ALTER TABLE {at('mapping_name')} DROP COLUMN gone",
    f"ALTER TABLE {at('mapping_name')} ADD COLUMN `weird; name` STRING",
    f"ALTER TABLE {at('mapping_name')} RENAME COLUMN day TO on_day",
)
insert(
    "mapping_name",
    "(2, named_struct('first', 'Bob', 'family', 'M'), array(named_struct('k', 'b', 'v', 2)), DATE'2024-01-02', 'w')",
)
create("mapping_id", "id BIGINT, person STRUCT<first: STRING, last: STRING>", delta_columnMapping_mode="id")
insert("mapping_id", "(1, named_struct('first', 'Ada', 'last', 'L'))")
sql(f"ALTER TABLE {at('mapping_id')} RENAME COLUMN id TO ident")
insert("mapping_id", "(2, named_struct('first', 'Bob', 'last', 'M'))")

# A checkpoint of the second version with its parts beside it, and entries that are gone.
create("v2_checkpoint", "id BIGINT, name STRING", delta_checkpointPolicy="v2", delta_checkpointInterval="2")
for id in (1, 2, 3):
    insert("v2_checkpoint", f"({id}, 'n{id}')")

# The same with the top file of the checkpoint as Parquet.
spark.conf.set("spark.databricks.delta.checkpointV2.topLevelFileFormat", "parquet")
create("v2_checkpoint_parquet", "id BIGINT, name STRING", delta_checkpointPolicy="v2", delta_checkpointInterval="2")
for id in (1, 2, 3):
    insert("v2_checkpoint_parquet", f"({id}, 'n{id}')")
spark.conf.set("spark.databricks.delta.checkpointV2.topLevelFileFormat", "json")

create("timestamp_ntz", "id BIGINT, at TIMESTAMP_NTZ, seen TIMESTAMP")
insert("timestamp_ntz", "(1, TIMESTAMP_NTZ'2024-01-01 10:00:00.123456', TIMESTAMP'2024-01-01 10:00:00.123456'), (2, NULL, NULL)")

# Values that the table computes, and a check.
shutil.rmtree(OUT / "generated", ignore_errors=True)
(
    DeltaTable.create(spark)
    .location(str(OUT / "generated"))
    .addColumn("id", "BIGINT", nullable=False)
    .addColumn("at", "TIMESTAMP")
    .addColumn("day", "DATE", generatedAlwaysAs="CAST(at AS DATE)", comment="Day of the event")
    .partitionedBy("day")
    .execute()
)
sql(f"ALTER TABLE {at('generated')} ADD CONSTRAINT positive CHECK (id > 0)")
sql(f"INSERT INTO {at('generated')} (id, at) VALUES (1, TIMESTAMP'2024-03-01 23:00:00'), (2, TIMESTAMP'2024-03-02 01:00:00')")

# A column that became wider: files of both types.
create("type_widening", "id INT", delta_enableTypeWidening="true")
insert("type_widening", "(1)")
sql(f"ALTER TABLE {at('type_widening')} ALTER COLUMN id TYPE BIGINT")
insert("type_widening", "(3000000000)")

create("row_tracking", "id BIGINT, name STRING", delta_enableRowTracking="true")
insert("row_tracking", "(1, 'a')")
insert("row_tracking", "(2, 'b')")

create("clustered", "id BIGINT, name STRING", "CLUSTER BY (id)")
insert("clustered", "(2, 'b')")
insert("clustered", "(1, 'a')")
sql(f"OPTIMIZE {at('clustered')}")
insert("clustered", "(3, 'c')")

# Only the checkpoint of the log is left, without the entry of its version.
create("checkpoint_only", "id BIGINT, name STRING", delta_checkpointInterval="2")
insert("checkpoint_only", "(1, 'a')")
insert("checkpoint_only", "(2, 'b')")
for entry in (OUT / "checkpoint_only" / "_delta_log").glob("*.json"):
    entry.unlink()

# What commits did to rows, as files of changes.
create("change_feed", "id BIGINT, name STRING", delta_enableChangeDataFeed="true")
spark.sql(f"INSERT INTO {at('change_feed')} SELECT /*+ COALESCE(1) */ id, concat('n', id) FROM range(1, 5)")
sql(f"UPDATE {at('change_feed')} SET name = 'two' WHERE id = 2", f"DELETE FROM {at('change_feed')} WHERE id = 3")
# The same in a table whose rows are marked: what a delete did follows from the vectors.
create("change_feed_vectors", "id BIGINT, name STRING", delta_enableChangeDataFeed="true", delta_enableDeletionVectors="true")
spark.sql(f"INSERT INTO {at('change_feed_vectors')} SELECT /*+ COALESCE(1) */ id, concat('n', id) FROM range(1, 7)")
sql(f"DELETE FROM {at('change_feed_vectors')} WHERE id = 3", f"UPDATE {at('change_feed_vectors')} SET name = 'five' WHERE id = 5")
sql(f"DELETE FROM {at('change_feed_vectors')} WHERE id = 6")

shutil.rmtree(OUT / "identity", ignore_errors=True)
(
    DeltaTable.create(spark)
    .location(str(OUT / "identity"))
    .addColumn("id", "BIGINT", generatedAlwaysAs=__import__("delta").tables.IdentityGenerator(start=1, step=1))
    .addColumn("name", "STRING")
    .execute()
)
sql(f"INSERT INTO {at('identity')} (name) VALUES ('a'), ('b')")

for path in OUT.rglob("*.crc"):
    path.unlink()
for table in sorted(path for path in OUT.iterdir() if path.is_dir()):
    try:
        print(table.name, spark.sql(f"SELECT * FROM {at(table.name)} ORDER BY 1").collect())
    except Exception as error:  # noqa: BLE001
        print(table.name, "cannot be read:", str(error)[:200])
