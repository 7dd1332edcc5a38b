#!/usr/bin/env python3
"""Shows that leaves.py finds what it is there to find: every file written here but the first is wrong in one way."""

import os
import subprocess
import sys
import tempfile

import pyarrow
import pyarrow.parquet

LINES = [
    '{"n": 9007199254740993, "f": 0.1, "s": "a", "j": null, "o": {"x": true, "X": [1, 2]}}',
    '{"n": 2, "f": 1, "j": {"k": 1e400}, "k": 1, "k": 2}',
]
JSON = {b"annals.encoding": b"json"}
SCHEMA = pyarrow.schema(
    [
        pyarrow.field("_seq", pyarrow.int64(), False),
        pyarrow.field("_time", pyarrow.timestamp("us", "UTC"), False),
        pyarrow.field("n", pyarrow.int64()),
        pyarrow.field("f", pyarrow.float64()),
        pyarrow.field("s", pyarrow.string()),
        pyarrow.field("j", pyarrow.string(), metadata=JSON),
        pyarrow.field(
            "o",
            pyarrow.struct(
                [
                    pyarrow.field("x", pyarrow.bool_()),
                    pyarrow.field("X_2", pyarrow.list_(pyarrow.int64()), metadata={b"annals.name": b"X"}),
                ]
            ),
        ),
        pyarrow.field("k", pyarrow.int64()),
        pyarrow.field("_extra", pyarrow.string(), metadata=JSON),
    ]
)


def right():
    own = {"_time": 0}
    return [
        own | {"_seq": 0, "n": 9007199254740993, "f": 0.1, "s": "a", "j": "null", "o": {"x": True, "X_2": [1, 2]}},
        own | {"_seq": 1, "n": 2, "f": 1.0, "j": '{"k":1e400}', "k": 1, "_extra": '[["k",2]]'},
    ]


def put(row, **cells):
    return lambda rows: rows[row].update(cells)


WRONG = {
    "an integer rounded to a double": put(0, n=9007199254740992),
    "a float off by its last bit": put(0, f=0.1 + 2**-56),
    "a string changed": put(0, s="A"),
    "a value lost": put(0, s=None),
    "a null lost from JSON text": put(0, j=None),
    "a number changed in JSON text": put(1, j='{"k":1e401}'),
    "a number turned into a string in JSON text": put(1, j='{"k":"1e400"}'),
    "a boolean changed": put(0, o={"x": False, "X_2": [1, 2]}),
    "an element lost": put(0, o={"x": True, "X_2": [1]}),
    "elements swapped": put(0, o={"x": True, "X_2": [2, 1]}),
    "a struct lost": put(0, o=None),
    "a value invented": put(1, s="b"),
    "a struct invented": put(1, o={"x": True, "X_2": None}),
    "a second value lost from _extra": put(1, _extra=None),
    "a second value changed in _extra": put(1, _extra='[["k",3]]'),
    "a pair invented in _extra": put(0, _extra='[["z",3]]'),
    "a row lost": lambda rows: rows.pop(),
    "a row too many": lambda rows: rows.append(dict(rows[1], _seq=2)),
    "rows swapped": lambda rows: rows.reverse(),
}


def exit_code(directory, rows):
    path = os.path.join(directory, "t.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=SCHEMA), path)
    leaves = os.path.join(os.path.dirname(os.path.abspath(__file__)), "leaves.py")
    command = [sys.executable, leaves, os.path.join(directory, "t.ndjson"), path]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode


def main():
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "t.ndjson"), "w", encoding="utf-8") as lines:
            lines.write("\n".join(LINES) + "\n")
        if exit_code(directory, right()) != 0:
            sys.exit("the right file was refused")
        for name, damage in WRONG.items():
            rows = right()
            damage(rows)
            if exit_code(directory, rows) != 1:
                sys.exit(f"not noticed: {name}")
    print(f"leaves.py accepts the right file and notices {len(WRONG)} wrong ones")


if __name__ == "__main__":
    main()
