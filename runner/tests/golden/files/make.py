"""Makes the Avro and ORC files of this folder with Apache Spark 4.0, and prints what Spark itself reads from them.

    pip install pyspark==4.0.0
    python make.py OUT

The files are committed as they came out; tests compare what Floe reads with the values that stand in `tests/promises/avro_orc.rs`.
"""

import pathlib
import shutil
import sys

from pyspark.sql import SparkSession

OUT = pathlib.Path(sys.argv[1]).absolute()
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.jars.packages", "org.apache.spark:spark-avro_2.13:4.0.0")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")

TYPES = """
SELECT /*+ COALESCE(1) */ CAST(id AS INT) AS i, id * 10000000000 AS l, CAST(id AS FLOAT) / 2 AS f, id / 8 AS d, id % 2 = 0 AS b,
    concat('text ', id) AS s, CAST(concat('x', id) AS BINARY) AS bin, CAST(id * -1.25 AS DECIMAL(10, 2)) AS dec,
    CAST(id * 123456789012345678.5 AS DECIMAL(30, 1)) AS wide, date_add(DATE'1999-12-31', CAST(id AS INT)) AS day,
    TIMESTAMP'2024-01-01 00:00:00.123456' + make_interval(0, 0, 0, CAST(id AS INT)) AS at,
    TIMESTAMP_NTZ'1969-12-31 23:59:59.5' AS local, array(id, NULL, 7) AS list, map('k', id, 'n', NULL) AS pairs,
    named_struct('x', id, 'In', named_struct('y', concat('y', id))) AS who,
    array(named_struct('n', id)) AS rows, IF(id = 1, NULL, id) AS maybe
FROM range(4)
"""


def write(name, query, form, **options):
    part = OUT / "part"
    shutil.rmtree(part, ignore_errors=True)
    writer = spark.sql(query).coalesce(1).write.format(form)
    for key, value in options.items():
        writer = writer.option(key, value)
    writer.save(str(part))
    (found,) = part.glob(f"*.{form}")
    target = OUT / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, target)
    shutil.rmtree(part)
    print(name, target.stat().st_size)
    spark.read.format(form).load(str(target)).show(5, False)
    print(spark.read.format(form).load(str(target)).schema.simpleString())


for codec in ["uncompressed", "deflate", "snappy", "zstandard", "bzip2"]:
    write(f"codecs/{codec}.avro", "SELECT id, repeat('abc', 5) AS s FROM range(1000)", "avro", compression=codec)
for codec in ["none", "zlib", "snappy", "zstd", "lz4", "lzo"]:
    write(f"codecs/{codec}.orc", "SELECT id, repeat('abc', 5) AS s FROM range(1000)", "orc", compression=codec)
write("types.avro", TYPES, "avro")
write("types.orc", TYPES, "orc")

# What other writers make: enums, fixed values, uuids, unions of several types, times of day, a record that is used twice.
SCHEMA = """{"type": "record", "name": "Odd", "namespace": "x", "fields": [
  {"name": "suit", "type": {"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]}},
  {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 4}},
  {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
  {"name": "either", "type": ["null", "int", "string"]},
  {"name": "number", "type": ["int", "long"]},
  {"name": "millis", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
  {"name": "from", "type": {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "double"}]}},
  {"name": "to", "type": ["null", "Point"]}
]}"""
ODD = """
SELECT IF(id = 0, 'HEARTS', 'SPADES') AS suit, unhex('0102030' || id) AS hash, '00000000-0000-0000-0000-00000000000' || id AS id,
    IF(id = 0, named_struct('member0', 5, 'member1', CAST(NULL AS STRING)), IF(id = 1, named_struct('member0', CAST(NULL AS INT), 'member1', 'five'), NULL)) AS either,
    id * 5000000000 AS number, TIMESTAMP'2024-01-01 00:00:00.123' AS millis, TIMESTAMP_NTZ'2024-01-01 00:00:00.123456' AS local,
    named_struct('x', id / 2) AS from, IF(id = 1, NULL, named_struct('x', -id / 2)) AS to
FROM range(3)
"""
try:
    write("odd.avro", ODD, "avro", avroSchema=SCHEMA)
except Exception as error:
    print("ODD", str(error)[:2000])
# The same rows of a relation that changes: a column more, a field more, another type.
write("changes/1.avro", "SELECT 1L AS id, named_struct('zip', 7L) AS place", "avro")
write("changes/2.avro", "SELECT 2L AS ID, named_struct('zip', 8L, 'city', 'x') AS place, 'north' AS region", "avro")
write("changes/3.avro", "SELECT 'three' AS id, named_struct('zip', 'y') AS place, 'south' AS region", "avro")
write("changes/1.orc", "SELECT 1L AS id, named_struct('zip', 7L) AS place", "orc")
write("changes/2.orc", "SELECT 2L AS ID, named_struct('zip', 8L, 'city', 'x') AS place, 'north' AS region", "orc")
write("changes/3.orc", "SELECT 'three' AS id, named_struct('zip', 'y') AS place, 'south' AS region", "orc")
