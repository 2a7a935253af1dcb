#!/usr/bin/env python3
"""Writes what Spark answers to the expressions in this folder.

    python3 -m venv ~/spark && ~/spark/bin/pip install 'pyspark==4.3.0'   # wants Java 17
    ~/spark/bin/python runner/tests/golden/functions/make.py [topic …]

`<topic>.txt` holds one expression per line. `[ansi=on zone=Europe/Paris from=VALUES (1) AS t(x)]` begins a section: its settings and the
relation that its expressions read (`from=` comes last). `@{a ~~ b}` stands for a line with `a` and one with `b`; several give all combinations.
Lines that begin with `# ` and empty ones are left out.

`<topic>.golden` gets one line per expression: expression, type and rows, or `!` and the error class, separated by tabs. The form of values is
that of `golden_tests.rs`: text in quotes, BINARY as X'…', times as ISO, TIMESTAMP in UTC with Z, intervals as months and microseconds.
"""

import datetime
import itertools
import logging
import pathlib
import re
import struct
import sys

from py4j.java_gateway import get_field
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import types as T

HERE = pathlib.Path(__file__).parent
EPOCH = datetime.datetime(1970, 1, 1)


def expanded(line):
    """The lines that a line with alternatives stands for."""
    parts = re.split(r"@\{(.*?)\}@", line)
    choices = [[part] if index % 2 == 0 else part.split(" ~~ ") for index, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def sections(text):
    """Settings, relation and expressions, in the order of the file."""
    current = ("off", "UTC", "", [])
    for line in text.splitlines():
        header = re.fullmatch(r"\[(?:ansi=(on|off))?\s*(?:zone=(\S+?))?\s*(?:from=(.*))?\]", line.strip())
        if header:
            if current[3]:
                yield current
            current = (header[1] or "off", header[2] or "UTC", header[3] or "", [])
        elif line.strip() and not line.startswith("# "):
            current[3].extend(expanded(line.strip()))
    if current[3]:
        yield current


def floating(value, bits):
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if bits == 32:
        same = lambda text: struct.pack("f", float(text)) == struct.pack("f", value)
        text = next(t for t in (f"{value:.{digits}g}" for digits in range(1, 18)) if same(t))
        value = float(text)
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    if -5 <= int(exponent) < 0:
        digits = mantissa.lstrip("-").replace(".", "")
        return ("-" if value < 0 else "") + "0." + "0" * (-int(exponent) - 1) + digits
    return f"{mantissa}e{int(exponent)}"


def quoted(text):
    for plain, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"), ("'", "\\'")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def day(days):
    try:
        return (EPOCH + datetime.timedelta(days=days)).strftime("%Y-%m-%d").rjust(10, "0")
    except OverflowError:
        return f"day {days}"


def instant(micros):
    try:
        time = EPOCH + datetime.timedelta(microseconds=micros)
    except OverflowError:
        return f"microsecond {micros}"
    return time.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


def rendered(value, kind, jvm_type):
    if value is None:
        return "NULL"
    if isinstance(kind, T.BooleanType):
        return str(value).lower()
    if isinstance(kind, T.FloatType):
        return floating(value, 32)
    if isinstance(kind, T.DoubleType):
        return floating(value, 64)
    if isinstance(kind, T.DecimalType):
        return format(value.toJavaBigDecimal(), "f")
    if isinstance(kind, T.StringType):
        return quoted(value.toString())
    if isinstance(kind, T.BinaryType):
        return f"X'{bytes(value).hex().upper()}'"
    if isinstance(kind, T.DateType):
        return day(value)
    if isinstance(kind, T.TimestampType):
        return instant(value) + "Z"
    if isinstance(kind, T.TimestampNTZType):
        return instant(value)
    if isinstance(kind, T.DayTimeIntervalType):
        return f"0 months {value} us"
    if isinstance(kind, T.YearMonthIntervalType):
        return f"{value} months 0 us"
    if isinstance(kind, T.CalendarIntervalType):
        months, days, micros = (get_field(value, name) for name in ("months", "days", "microseconds"))
        return f"{months} months {days * 86_400_000_000 + micros} us"
    return nested(value, kind, jvm_type)


def nested(value, kind, jvm_type):
    if isinstance(kind, T.ArrayType):
        return "[" + ", ".join(items(value, kind.elementType, jvm_type.elementType())) + "]"
    if isinstance(kind, T.MapType):
        keys = items(value.keyArray(), kind.keyType, jvm_type.keyType())
        values = items(value.valueArray(), kind.valueType, jvm_type.valueType())
        return "{" + ", ".join(f"{key}: {value}" for key, value in zip(keys, values)) + "}"
    if isinstance(kind, T.StructType):
        return "(" + ", ".join(fields(value, kind, jvm_type)) + ")"
    return str(value)


def items(array, kind, jvm_type):
    get = lambda at: None if array.isNullAt(at) else array.get(at, jvm_type)
    return [rendered(get(at), kind, jvm_type) for at in range(array.numElements())]


def fields(row, kind, jvm_type):
    result = []
    for at, field in enumerate(kind.fields):
        inner = jvm_type.apply(at).dataType()
        result.append(rendered(None if row.isNullAt(at) else row.get(at, inner), field.dataType, inner))
    return result


def type_name(kind):
    if isinstance(kind, (T.DayTimeIntervalType, T.YearMonthIntervalType, T.CalendarIntervalType)):
        return "interval"
    if isinstance(kind, T.ArrayType):
        return f"array<{type_name(kind.elementType)}>"
    if isinstance(kind, T.MapType):
        return f"map<{type_name(kind.keyType)},{type_name(kind.valueType)}>"
    if isinstance(kind, T.StructType):
        return "struct<" + ",".join(f"{field.name}:{type_name(field.dataType)}" for field in kind.fields) + ">"
    return kind.simpleString().split(" collate")[0]


def error_class(error):
    if isinstance(error, PySparkException):
        return error.getCondition() or type(error).__name__
    cause = error.java_exception
    while cause is not None:
        if hasattr(cause, "getCondition") and cause.getClass().getName().startswith("org.apache.spark"):
            try:
                return cause.getCondition()
            except Exception:  # noqa: BLE001 - an exception without a class of its own
                pass
        cause = cause.getCause()
    return error.java_exception.getClass().getSimpleName()


def answer(spark, expression, relation):
    try:
        frame = spark.sql(f"SELECT {expression} AS v" + (f" FROM {relation}" if relation else ""))
        jvm_type = frame._jdf.schema().apply(0).dataType()
        kind = frame.schema.fields[0].dataType
        rows = frame._jdf.queryExecution().executedPlan().executeCollect()
        values = [rendered(None if row.isNullAt(0) else row.get(0, jvm_type), kind, jvm_type) for row in rows]
        return f"{type_name(kind)}\t{' | '.join(values)}"
    except (PySparkException, Py4JJavaError) as error:
        return f"!\t{error_class(error)}"


def write(spark, path):
    lines, known = [], set()
    for ansi, zone, relation, expressions in sections(path.read_text()):
        spark.conf.set("spark.sql.ansi.enabled", "true" if ansi == "on" else "false")
        spark.conf.set("spark.sql.session.timeZone", zone)
        lines.append(f"[ansi={ansi} zone={zone}" + (f" from={relation}]" if relation else "]"))
        for expression in expressions:
            if (key := (ansi, zone, relation, expression)) not in known:
                known.add(key)
                lines.append(f"{expression}\t{answer(spark, expression, relation)}")
    path.with_suffix(".golden").write_text("\n".join(lines) + "\n")
    print(path.stem, len(known))


def main():
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.codegen.wholeStage", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    logging.disable(logging.CRITICAL)
    topics = [HERE / f"{topic}.txt" for topic in sys.argv[1:]] or sorted(HERE.glob("*.txt"))
    for path in topics:
        write(spark, path)


if __name__ == "__main__":
    main()
