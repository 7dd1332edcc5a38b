#!/usr/bin/env python3
"""Compares what went into a log with what comes out of it, value by value.

The input is NDJSON (plain, .gz or .zst); the output is that of `annals cat`, run by this script (--annals, --log) or given
as a file or `-` (--cat). Both are parsed by Python's json module with every choice made by us: objects as lists of pairs
(order and duplicates count), numbers as exact decimals (an integer and a decimal number differ, -0 and 0 differ), strings
as they are, lone surrogates included.

    compare.py INPUT --annals target/debug/annals --log LOG            # runs `annals cat LOG`
    compare.py INPUT --annals target/debug/annals --log LOG --get 500  # runs `annals get` of 500 random seqs
    annals cat LOG | compare.py INPUT --cat -

Exits 0 and prints "N records identical", or exits 1 and prints the first difference. Needs nothing but Python 3.8 or
newer, and the program `zstd` for .zst input.
"""

import argparse
import contextlib
import gzip
import json
import random
import subprocess
import sys
from decimal import Decimal
from itertools import zip_longest

# Python refuses to parse integers of more than 4,300 digits unless told otherwise.
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

GET_AT_ONCE = 200


class Pairs(list):
    """An object's pairs, so that it never equals an array."""


def parse(line):
    return json.loads(
        line,
        object_pairs_hook=Pairs,
        parse_int=lambda token: ("int", Decimal(token), token.startswith("-")),
        parse_float=lambda token: ("float", Decimal(token), token.startswith("-")),
        parse_constant=lambda token: sys.exit(f"not JSON: {token}"),
    )


def difference(path, left, right):
    """The first place where two parsed values differ, or None."""
    if type(left) is not type(right):
        return f"{path}: {left!r} is not {right!r}"
    if isinstance(left, Pairs):
        if [key for key, _ in left] != [key for key, _ in right]:
            return f"{path}: the keys {[key for key, _ in left]} are not {[key for key, _ in right]}"
        for (key, a), (_, b) in zip(left, right):
            if found := difference(f"{path}.{key}", a, b):
                return found
        return None
    if isinstance(left, list):
        if len(left) != len(right):
            return f"{path}: {len(left)} elements are not {len(right)}"
        for index, (a, b) in enumerate(zip(left, right)):
            if found := difference(f"{path}[{index}]", a, b):
                return found
        return None
    return None if left == right else f"{path}: {left!r} is not {right!r}"


@contextlib.contextmanager
def output_of(command):
    """The lines a command prints. It has to succeed, unless we stop reading before its end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    at_end = False

    def lines():
        nonlocal at_end
        yield from process.stdout
        at_end = True

    try:
        yield lines()
    finally:
        process.stdout.close()
        code = process.wait()
    if at_end and code != 0:
        sys.exit(f"{' '.join(command)} exited with {code}")


@contextlib.contextmanager
def lines_of(path):
    """The lines of NDJSON that hold anything, whatever it is compressed with."""
    with contextlib.ExitStack() as stack:
        if path == "-":
            stream = sys.stdin.buffer
        else:
            with open(path, "rb") as file:
                magic = file.read(4)
            if magic == b"\x28\xb5\x2f\xfd":
                stream = stack.enter_context(output_of(["zstd", "-dc", "--long=27", path]))
            elif magic[:2] == b"\x1f\x8b":
                stream = stack.enter_context(gzip.open(path))
            else:
                stream = stack.enter_context(open(path, "rb"))
        yield (line for line in stream if line.strip())


def compare(inputs, outputs, start=0):
    count = 0
    for count, (wanted, found) in enumerate(zip_longest(inputs, outputs), 1):
        seq = start + count - 1
        if wanted is None:
            return f"record {seq} is in the log, but not in the input: {found[:200]!r}", count
        if found is None:
            return f"record {seq} is in the input, but not in the log: {wanted[:200]!r}", count
        if wanted == found:
            continue
        if differs := difference("$", parse(wanted), parse(found)):
            return f"record {seq} differs (input first): {differs}", count
    return None, count


def compare_random(args):
    with lines_of(args.input) as lines:
        total = sum(1 for _ in lines)
    wanted_seqs = sorted(random.Random(args.seed).sample(range(total), min(args.get, total)))
    chosen = set(wanted_seqs)
    with lines_of(args.input) as lines:
        by_seq = {seq: line for seq, line in enumerate(lines) if seq in chosen}
    # In random order, since that is how lookups come.
    order = list(by_seq)
    random.Random(args.seed + 1).shuffle(order)
    for at in range(0, len(order), GET_AT_ONCE):
        seqs = order[at : at + GET_AT_ONCE]
        command = [args.annals, "get", args.log, *map(str, seqs)]
        found = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if found.returncode != 0:
            sys.exit(f"annals get exited with {found.returncode}")
        lines = found.stdout.splitlines()
        if len(lines) != len(seqs):
            return f"annals get printed {len(lines)} records for {len(seqs)} seqs", at
        for seq, line in zip(seqs, lines):
            if differs := difference("$", parse(by_seq[seq]), parse(line)):
                return f"record {seq} differs (input first): {differs}", at
    return None, len(order)


def main():
    parser = argparse.ArgumentParser(description="Compare NDJSON with what a log returns for it.")
    parser.add_argument("input", help="the NDJSON that was appended: plain, .gz or .zst")
    parser.add_argument("--cat", metavar="FILE", help="the output of `annals cat`; - for stdin")
    parser.add_argument("--annals", metavar="PROGRAM", default="annals", help="the program annals")
    parser.add_argument("--log", metavar="LOG", help="the log, to run `annals cat` or `annals get` on")
    parser.add_argument("--get", metavar="K", type=int, help="compare `annals get` of K random seqs instead")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of the random seqs")
    args = parser.parse_args()
    if (args.cat is None) == (args.log is None) or (args.get and not args.log):
        parser.error("give either --cat FILE or --log LOG; --get needs --log")

    if args.get:
        differs, count = compare_random(args)
    elif args.cat is not None:
        with lines_of(args.input) as inputs, lines_of(args.cat) as outputs:
            differs, count = compare(inputs, outputs)
    else:
        with lines_of(args.input) as inputs, output_of([args.annals, "cat", args.log]) as outputs:
            differs, count = compare(inputs, outputs)
    if differs:
        print(differs)
        return 1
    print(f"{count} records identical")
    return 0


if __name__ == "__main__":
    sys.exit(main())
