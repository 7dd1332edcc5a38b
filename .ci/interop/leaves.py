#!/usr/bin/env python3
"""Checks that Parquet written by Annals holds every value of the NDJSON it was made from.

    leaves.py INPUT.ndjson[.zst] OUTPUT.parquet|DATASET_DIRECTORY

DuckDB, Polars and pyarrow each read all rows and all columns. For each of them, every leaf of every input line (a
string, a number, a boolean, and the empty containers) has to be in the row whose `_seq` is the number of the line, in
the column of its path or in JSON text. Numbers are compared as exact decimals, never as doubles. Explicit nulls have to
be there in JSON text; in typed columns null equals missing. Prints `N leaves, 0 lost, 0 changed` for each reader and
exits with 1 if anything is lost, changed or invented.

Only the names and metadata of the Parquet schema are used; nothing of Annals is.
"""

import argparse
import base64
import datetime
import decimal
import io
import json
import os
import resource
import subprocess
import sys
import time

import pyarrow
import pyarrow.parquet as pq

BATCH_ROWS = 2048
REPORTED_MAX = 20

# Exact: no rounding of any decimal that occurs.
decimal.getcontext().prec = 10_000


class Pairs(list):
    """A JSON object as its pairs, in order, duplicates kept."""


class Token(str):
    """An input number whose spelling is all that is known."""


def loads(text):
    return json.loads(text, object_pairs_hook=Pairs, parse_float=decimal.Decimal, parse_constant=Token)


def kind(value):
    """JSON's types; Python's bool is an int, and must not be taken for one."""
    if value is None or isinstance(value, (bool, str, Pairs)):
        return type(value).__name__
    if isinstance(value, (int, float, decimal.Decimal)):
        return "number"
    return "list" if isinstance(value, list) else type(value).__name__


def exact(number):
    """The decimal value a number is printed with."""
    if isinstance(number, float):
        return decimal.Decimal(repr(number))
    return decimal.Decimal(number)


def same_scalar(expected, found):
    if expected is found:
        return True
    if isinstance(expected, str) or isinstance(found, str):
        return type(found) is str and type(expected) is str and expected == found
    if expected is None or found is None or isinstance(expected, bool) or isinstance(found, bool):
        return False
    if type(expected) is int and type(found) is int:
        return expected == found
    return exact(expected) == exact(found)


class Column:
    """How to read one column or field: from the Arrow schema stored in the file."""

    __slots__ = ("name", "key", "json", "kind", "fields", "element")

    def __init__(self, field):
        metadata = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        self.name = field.name
        self.key = metadata.get("annals.name", field.name)
        self.json = metadata.get("annals.encoding") == "json"
        self.fields = self.element = None
        data_type = field.type
        if pyarrow.types.is_struct(data_type):
            self.kind = "struct"
            self.fields = [Column(data_type.field(i)) for i in range(data_type.num_fields)]
        elif pyarrow.types.is_list(data_type):
            self.kind = "list"
            self.element = Column(data_type.value_field)
        elif pyarrow.types.is_timestamp(data_type):
            self.kind = "timestamp"
        else:
            self.kind = "scalar"


class Tally:
    """What one reader has seen."""

    def __init__(self, reader):
        self.reader = reader
        self.rows = self.leaves = self.lost = self.changed = self.invented = 0
        self.reported = 0

    def bad(self, what, line, path, expected, found):
        setattr(self, what, getattr(self, what) + 1)
        self.reported += 1
        if self.reported <= REPORTED_MAX:
            text = "".join(f"/{step}" for step in path)
            print(f"  {self.reader}: {what} at line {line} {text}: {expected!r:.200} became {found!r:.200}", file=sys.stderr)


def count(value):
    if isinstance(value, Pairs):
        return sum(count(item) for _, item in value) or 1
    if isinstance(value, list):
        return sum(map(count, value)) or 1
    return 1


def equal(expected, found):
    """Equality of two parsed JSON values: order of pairs and elements, types, exact numbers."""
    if isinstance(expected, list):
        if kind(expected) != kind(found) or len(expected) != len(found):
            return False
        if isinstance(expected, Pairs):
            return all(a == c and equal(b, d) for (a, b), (c, d) in zip(expected, found))
        return all(map(equal, expected, found))
    if isinstance(found, list):
        return False
    return same_scalar(expected, found)


def check_json(tally, line, path, expected, text):
    tally.leaves += count(expected)
    if text is None:
        return tally.bad("lost", line, path, expected, text)
    found = loads(text)
    if not equal(expected, found):
        tally.bad("changed", line, path, expected, text)


def check(tally, line, path, column, expected, found):
    """One value against one cell."""
    if column.json:
        return check_json(tally, line, path, expected, found)
    if expected is None:
        # Null equals missing.
        tally.leaves += 1
        if found is not None and not nothing(found):
            tally.bad("invented", line, path, expected, found)
        return
    if found is None:
        tally.leaves += count(expected)
        return tally.bad("lost", line, path, expected, found)
    if column.kind == "struct":
        if not isinstance(expected, Pairs) or not isinstance(found, dict):
            tally.leaves += count(expected)
            return tally.bad("changed", line, path, expected, found)
        check_fields(tally, line, path, column.fields, expected, found, None)
    elif column.kind == "list":
        same = type(expected) is list and isinstance(found, list) and len(expected) == len(found)
        if not same:
            tally.leaves += count(expected)
            return tally.bad("changed", line, path, expected, found)
        tally.leaves += not expected
        for index, (item, cell) in enumerate(zip(expected, found)):
            check(tally, line, path + (index,), column.element, item, cell)
    elif column.kind == "timestamp":
        tally.leaves += 1
        instant = isinstance(expected, str) and parse_instant(expected)
        if not instant or instant != found.astimezone(datetime.timezone.utc):
            tally.bad("changed", line, path, expected, found)
    else:
        tally.leaves += 1
        if isinstance(found, bytes):
            found = base64.b64encode(found).decode()
        if isinstance(expected, list) or not same_scalar(expected, found):
            tally.bad("changed", line, path, expected, found)


def nothing(found):
    """A struct of nulls is how some readers show a null struct."""
    return isinstance(found, dict) and all(value is None or nothing(value) for value in found.values())


def parse_instant(text):
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(datetime.timezone.utc)
    except ValueError:
        return None


def check_fields(tally, line, path, columns, pairs, row, extra):
    """An object against the fields of a row or struct. `extra` is the parsed `_extra`, a list that is used up."""
    by_key = {column.key: column for column in columns}
    left = dict(by_key)
    if not pairs:
        tally.leaves += 1
    for key, value in pairs:
        column = left.pop(key, None)
        cell = row.get(column.name) if column is not None else None
        if extra and (column is None or (cell is None and value is not None)) and take(extra, [key], value):
            tally.leaves += count(value)
            continue
        if column is None:
            tally.leaves += count(value)
            tally.bad("lost", line, path + (key,), value, None)
            continue
        if extra and column.kind == "struct" and isinstance(value, Pairs):
            value = put_back(extra, [key], value, cell, column, tally)
        check(tally, line, path + (key,), column, value, cell)
    for column in left.values():
        found = row.get(column.name)
        if found is not None and not nothing(found):
            tally.bad("invented", line, path + (column.key,), None, found)


def take(extra, path, value):
    """Takes the first entry for `path` out of `_extra` if it is this value."""
    for index, (key, kept) in enumerate(extra):
        if (key if isinstance(key, list) else [key]) == path:
            if equal(value, kept):
                del extra[index]
                return True
            return False
    return False


def put_back(extra, path, pairs, cell, column, tally):
    """Takes out of a struct's pairs what a forced type sent to `_extra`."""
    kept = Pairs()
    fields = {field.key: field for field in column.fields}
    for key, value in pairs:
        field = fields.get(key)
        below = cell.get(field.name) if field is not None and isinstance(cell, dict) else None
        if field is not None and below is None and take(extra, path + [key], value):
            tally.leaves += count(value)
            continue
        if field is not None and field.kind == "struct" and isinstance(value, Pairs):
            value = put_back(extra, path + [key], value, below, field, tally)
        kept.append((key, value))
    return kept


OWN = ("_seq", "_time", "_extra", "_json")


def check_row(tally, columns, pairs, line, row):
    tally.rows += 1
    if row["_seq"] != line:
        sys.exit(f"{tally.reader}: row {line} has _seq {row['_seq']}")
    if row["_time"] is None:
        tally.bad("lost", line, ("_time",), None, None)
    extra = loads(row["_extra"]) if row.get("_extra") is not None else []
    check_fields(tally, line, (), columns, pairs, row, extra)
    for key, value in extra:
        tally.bad("invented", line, ("_extra", key), None, value)
    if "_json" in row and not equal(pairs, loads(row["_json"])):
        tally.bad("changed", line, ("_json",), pairs, row["_json"])


def files_of(path):
    if not os.path.isdir(path):
        return [path]
    with open(os.path.join(path, "_manifest.json"), encoding="utf-8") as manifest:
        return [os.path.join(path, part["file"]) for part in json.load(manifest)["files"]]


def rows_of_arrow(batch):
    """Rows of an Arrow batch, without the detour by pandas."""
    columns = [(name, batch.column(i).to_pylist()) for i, name in enumerate(batch.schema.names)]
    names = [name for name, _ in columns]
    for cells in zip(*(cells for _, cells in columns)):
        yield dict(zip(names, cells))


def by_pyarrow(files):
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from rows_of_arrow(batch)


def by_duckdb(files):
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone='UTC'; SET preserve_insertion_order=true")
    for path in files:
        cursor = connection.execute("SELECT * FROM read_parquet(?)", [path])
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(BATCH_ROWS):
            for row in rows:
                yield dict(zip(names, row))


def by_polars(files):
    import polars

    for path in files:
        rows = polars.scan_parquet(path).select(polars.len()).collect().item()
        # Whole slices, so that memory stays bounded; each slice reads its row groups again.
        step = 32 * BATCH_ROWS
        for start in range(0, rows, step):
            yield from polars.scan_parquet(path).slice(start, step).collect().iter_rows(named=True)


READERS = {"pyarrow": by_pyarrow, "duckdb": by_duckdb, "polars": by_polars}


def lines_of(path):
    if path.endswith(".zst"):
        with subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE) as process:
            yield from io.BufferedReader(process.stdout, 1 << 20)
        if process.returncode:
            sys.exit(f"zstd could not read {path}")
    else:
        with open(path, "rb") as file:
            yield from file


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--reader", choices=sorted(READERS), action="append", help="default: all three")
    arguments = parser.parse_args()

    files = files_of(arguments.output)
    schema = pq.read_schema(files[0])
    columns = [Column(field) for field in schema if field.name not in OWN]
    failed = False
    for name in arguments.reader or READERS:
        started = time.monotonic()
        tally = Tally(name)
        found = READERS[name](files)
        line = -1
        for line, text in enumerate(lines_of(arguments.input)):
            row = next(found, None)
            if row is None:
                sys.exit(f"{name}: {line} rows, and the input has more lines")
            check_row(tally, columns, loads(text), line, row)
        if next(found, None) is not None:
            sys.exit(f"{name}: more rows than the {line + 1} lines of the input")
        bad = tally.lost + tally.changed + tally.invented
        failed |= bad > 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{os.path.basename(arguments.input)} by {name}: {tally.rows} rows, {tally.leaves} leaves, {tally.lost} lost, "
            f"{tally.changed} changed, {tally.invented} invented ({time.monotonic() - started:.0f} s, peak {peak} MiB)",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
