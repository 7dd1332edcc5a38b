#!/usr/bin/env python3
"""Asks a log and DuckDB the same questions about the same NDJSON, and compares the answers.

    queries.py INPUT.ndjson --annals target/release/annals --log LOG --count 50 --seed 1

INPUT is what was appended to LOG, in this order and nothing else. Conditions are drawn from the paths and values of the
first records: comparisons of numbers and texts, equality with anything that is no object, prefixes, lists, existence, joined by
`and`, `or` and `not`. DuckDB is told in SQL what docs/query.md says of each; paths through arrays are left out, since there SQL has
no such words. For half of the questions the records are compared, for half the count, least, greatest and sum by group. Before the
last half, `annals index` indexes a few of the paths, and these are asked about.

Exits 0 and prints how many were the same, or exits 1 and prints the first that was not.
"""

import argparse
import json
import math
import random
import subprocess
import sys

import duckdb

LEARNED = 5_000
INDEXED = 4


def learn(path):
    """The values of each path that meets no array in the first records, and of the whole file the paths that do."""
    values, arrays = {}, set()

    def walk(keys, value):
        if isinstance(value, list):
            arrays.add(keys)
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk((*keys, key), inner)
        if keys and not isinstance(value, list):
            found = values.setdefault(keys, [])
            if len(found) < 200:
                found.append(value)

    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            record = json.loads(line)
            if number < LEARNED:
                walk((), record)
            else:
                find_arrays(record, (), arrays)
    through = lambda keys: any(keys[:length] in arrays for length in range(len(keys) + 1))
    return {keys: found for keys, found in values.items() if not through(keys) and len(keys) <= 8}


def find_arrays(value, keys, arrays):
    if isinstance(value, list):
        arrays.add(keys)
    elif isinstance(value, dict):
        for key, inner in value.items():
            find_arrays(inner, (*keys, key), arrays)


def ours(keys):
    return ".".join(json.dumps(key) for key in keys)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def theirs(keys):
    return f"json_extract(r, {quoted('$' + ''.join('.' + json.dumps(key, ensure_ascii=False) for key in keys))})"


def is_usable(value):
    """Whether SQL and conditions can both spell it: texts without NUL or surrogates, numbers that DuckDB keeps exact."""
    if isinstance(value, str):
        return "\0" not in value and not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 1 << 63


def number(value):
    return f"CAST('{value!r}' AS DOUBLE)" if isinstance(value, float) else f"CAST('{value}' AS HUGEINT)"


def compared(cell, operator, value):
    """SQL for `some value of the path compares so`, for a path that meets no arrays: it has one value, or none."""
    kind = f"json_type({cell})"
    if operator == "!=":
        return f"({kind} IS NOT NULL AND NOT {compared(cell, '=', value)})"
    if value is None or isinstance(value, bool):
        return f"coalesce({cell}::VARCHAR = {quoted(json.dumps(value))}, false)"
    if isinstance(value, str):
        return f"coalesce({kind} = 'VARCHAR' AND json_extract_string({cell}, '$') {operator} {quoted(value)}, false)"
    # An integer is compared with an integer, and doubles are compared as doubles: all drawn integers are exact in one of them.
    whole = f"({kind} IN ('BIGINT', 'UBIGINT', 'HUGEINT') AND TRY_CAST({cell} AS HUGEINT) {operator} {number(value)})"
    part = f"({kind} = 'DOUBLE' AND TRY_CAST({cell} AS DOUBLE) {operator} {number(value)})"
    return f"coalesce({whole} OR {part}, false)"


def leaf(draw, values):
    """A comparison in both languages."""
    keys = draw.choice(sorted(values))
    cell, path = theirs(keys), ours(keys)
    kind = draw.randrange(10)
    usable = [value for value in values[keys] if is_usable(value) and not isinstance(value, dict)]
    if kind == 0 or not usable:
        return f"exists({path})", f"(json_type({cell}) IS NOT NULL)"
    value = draw.choice(usable)
    spelled = json.dumps(value)
    if kind == 1 and isinstance(value, str):
        start = value[: draw.randrange(len(value) + 1)]
        starts = f"starts_with(json_extract_string({cell}, '$'), {quoted(start)})"
        return f"{path} prefix {json.dumps(start)}", f"coalesce(json_type({cell}) = 'VARCHAR' AND {starts}, false)"
    if kind in (2, 3) and not isinstance(value, bool) and value is not None:
        operator = draw.choice(["<", "<=", ">", ">="])
        return f"{path} {operator} {spelled}", compared(cell, operator, value)
    if kind == 4:
        some = [value, *draw.choices(usable, k=3)]
        either = " OR ".join(compared(cell, "=", one) for one in some)
        return f"{path} in ({', '.join(json.dumps(one) for one in some)})", f"({either})"
    operator = "!=" if kind == 5 else "="
    return f"{path} {operator} {spelled}", compared(cell, operator, value)


def condition(draw, values, depth=0):
    kind = draw.randrange(6) if depth < 3 else 5
    if kind < 2:
        (a, sql_a), (b, sql_b) = (condition(draw, values, depth + 1) for _ in range(2))
        word = ("and", "or")[kind]
        return f"({a} {word} {b})", f"({sql_a} {word.upper()} {sql_b})"
    if kind == 2:
        text, sql = condition(draw, values, depth + 1)
        return f"not {text}", f"(NOT {sql})"
    return leaf(draw, values)


def run(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def same_records(args, database, text, sql):
    printed = run([args.annals, "query", args.log, text, "--meta"]).splitlines()
    found = [json.loads(line)["_seq"] for line in printed]
    expected = [row[0] for row in database.execute(f"SELECT seq FROM events WHERE {sql} ORDER BY seq").fetchall()]
    return found == expected, f"{len(found)} records, DuckDB has {len(expected)}", len(found)


def same_groups(args, database, text, sql, by, of):
    """Counts of records and numbers, least, greatest and sum of `of`, for each text or number that `by` has."""
    command = [args.annals, "stats", args.log, "--where", text, "--by", ours(by), "--of", ours(of), "--format", "ndjson"]
    found = {}
    for line in run([*command, "--show", "numbers,min,max,sum"]).splitlines():
        group = json.loads(line)
        key = next(iter(group["by"].values()), None) if group["by"] else None
        if isinstance(key, str):
            field = next(iter(group["of"].values()))
            found[key] = (group["records"], field["numbers"], field["min"], field["max"], field["sum"])
    cell, key = theirs(of), theirs(by)
    value = f"CASE WHEN json_type({cell}) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') THEN TRY_CAST({cell} AS DOUBLE) END"
    rows = database.execute(
        f"SELECT json_extract_string({key}, '$'), count(*), count({value}), min({value}), max({value}), fsum({value}) "
        f"FROM events WHERE json_type({key}) = 'VARCHAR' AND {sql} GROUP BY 1"
    ).fetchall()
    expected = {row[0]: row[1:] for row in rows}
    if found.keys() != expected.keys():
        return False, f"{len(found)} groups, DuckDB has {len(expected)}", 0
    for name, (records, numbers, least, greatest, total) in expected.items():
        a = found[name]
        if (a[0], a[1]) != (records, numbers):
            return False, f"{name!r}: {a} is not {expected[name]}", 0
        for one, other in zip(a[2:], (least, greatest, total)):
            if (one is None or numbers == 0) != (other is None or numbers == 0):
                return False, f"{name!r}: {a} is not {expected[name]}", 0
            if numbers and not math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9):
                return False, f"{name!r}: {a} is not {expected[name]}", 0
    return True, "", sum(row[1] for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("--annals", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    values = learn(args.input)
    database = duckdb.connect()
    database.execute(
        "CREATE TABLE events AS SELECT row_number() OVER () - 1 AS seq, json AS r FROM "
        "read_ndjson_objects(?, maximum_object_size = 67108864)",
        [args.input],
    )
    texts = [keys for keys, found in values.items() if any(isinstance(v, str) for v in found) and len(set(map(str, found))) < 100]
    numbers = [keys for keys, found in values.items() if any(type(v) in (int, float) for v in found)] or list(values)
    draw = random.Random(args.seed)
    found = 0
    for asked in range(args.count):
        if asked == args.count // 2:
            indexed = draw.sample(sorted(values), k=min(INDEXED, len(values)))
            run([args.annals, "index", args.log, *map(ours, indexed)])
            values = {keys: values[keys] for keys in {*indexed, *draw.sample(sorted(values), k=1)}}
        text, sql = condition(draw, values)
        if asked % 2 and texts:
            by, of = draw.choice(texts), draw.choice(numbers)
            same, detail, records = same_groups(args, database, text, sql, by, of)
            question = f"{text} by {ours(by)} of {ours(of)}"
        else:
            same, detail, records = same_records(args, database, text, sql)
            question = text
        found += records
        if not same:
            sys.exit(f"question {asked} of seed {args.seed}: {detail}\n{question}\n{sql}")
    print(f"{args.count} questions answered as by DuckDB, {found} records found")


if __name__ == "__main__":
    main()
