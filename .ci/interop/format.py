#!/usr/bin/env python3
"""Reads a log by docs/format.md alone, and computes its Merkle root: a check of the page, not of the log.

    format.py LOG [--root HEX] [--records N]

Every checksum is checked on the way. Needs the package zstandard. Prints the number of records and the root; exits with 1 if
they are not those given.
"""

import argparse
import hashlib
import os
import re
import struct
import zlib

import columns
import zstandard
from columns import check, signed, varint, wrap

GAP, DROPPED = 2, 4
NAME = re.compile(r"(\d{20})-(\d{10,})\.(log|seg)$")
TRAINED = bytes.fromhex("37a430ec")


def header(data, kind, base=0, ordinal=0):
    check(data[:8] == b"ANNALS\r\n" and data[8:12] == kind, f"header of kind {kind}")
    version, length, compatible, incompatible = struct.unpack_from("<HHQQ", data, 12)
    check((version, length, compatible) == (1, 128, 0), "version, length, features")
    check(incompatible == 0 or (incompatible == 1 and kind == b"RAW "), "incompatible features")
    check(zlib.crc32(data[:124]) == struct.unpack_from("<I", data, 124)[0], "header checksum")
    check(struct.unpack_from("<QQ", data, 64) == (base, ordinal), "base seq and ordinal")
    return data[32:48], zlib.crc32(data[48:64])


def raw_records(data, salt, base):
    """(seq, incarnation, kind, flags, timestamp, key, body) of a raw segment without bad ranges."""
    check(data[:128] == data[4096:4224], "second header")
    check(not any(data[128:4096]) and not any(data[4224:8192]), "zeros after the headers")
    at, seq = 8192, base
    while at < len(data) and any(data[at:]):
        fixed = data[at : at + 72]
        magic, kind, length, count, first, watermark, incarnation, _, _, payload_crc, crc = struct.unpack(
            "<4sB3xIIQQ16sqqII", fixed
        )
        check(magic == b"aFrm" and crc == zlib.crc32(fixed[:68]) ^ salt, f"frame header at {at}")
        check(first == seq and watermark <= first, "seq and watermark")
        payload = data[at + 72 : at + 72 + length]
        entries, sums = payload if kind == 1 else b"", b""
        for _ in range(count):
            entry_crc, size, record, flags, key_len, time = struct.unpack_from("<IIBBHq", entries)
            mix = (seq * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 32
            check(entry_crc == zlib.crc32(entries[4:size]) ^ salt ^ mix, f"entry of record {seq}")
            yield seq, incarnation, record, flags, time, entries[20 : 20 + key_len], entries[20 + key_len : size]
            sums, entries, seq = sums + entries[:4], entries[size:], seq + 1
        check(not entries, "payload without gaps")
        check(payload_crc == zlib.crc32(sums if kind == 1 else payload) ^ salt, "payload checksum")
        at += (72 + length + 7) // 8 * 8


def last_dropped(payload):
    """When the last of the records was dropped of which a block of codec 5 tells: the last value of its map."""
    at = payload.index(b"\xa5until") + 6
    tag, value = payload[at], payload[at + 1 :]
    if tag in range(0xCC, 0xD4):
        check(len(value) == 1 << (tag & 3), "the last value of what was dropped")
        return int.from_bytes(value, "big", signed=tag >= 0xD0)
    check(not value and (tag < 0x80 or tag >= 0xE0), "the last value of what was dropped")
    return tag - 256 if tag >= 0xE0 else tag


def dictionary_of(data, salt):
    magic, plain_len, stored_len, stored_crc, crc = struct.unpack_from("<4sIIII", data)
    stored = data[20 : 20 + stored_len]
    check(magic == b"\xa7dic" and crc == zlib.crc32(data[:16]) ^ salt, "dictionary header")
    check(stored_crc == zlib.crc32(stored) ^ salt and len(data) == 20 + stored_len, "dictionary")
    plain = zstandard.ZstdDecompressor().decompress(stored, max_output_size=plain_len)
    trained = plain[:4] == TRAINED
    kind = zstandard.DICT_TYPE_FULLDICT if trained else zstandard.DICT_TYPE_RAWCONTENT
    return zstandard.ZstdCompressionDict(plain, dict_type=kind)


def columns_dictionary(data, section, salt):
    magic, plain_len, stored_len, stored_crc, crc = struct.unpack_from("<4sIIII", data)
    stored = data[20 : 20 + stored_len]
    check(magic == b"\xa7col" and crc == zlib.crc32(data[:16]) ^ salt, "dictionary header")
    check(stored_crc == zlib.crc32(stored) ^ salt and len(data) == 20 + stored_len, "dictionary")
    pieces = [data[at : at + 512] for at in range(0, len(data), 512)]
    parity = bytearray(min(len(data), max(5120, -(-len(data) // 16))))
    for at, byte in enumerate(data):
        parity[at % len(parity)] ^= byte
    sums = b"".join(struct.pack("<I", zlib.crc32(piece) ^ salt) for piece in pieces)
    sound = data[:20] + sums + parity
    check(section == sound + struct.pack("<I", zlib.crc32(sound) ^ salt), "parity of the dictionary")
    return columns.Dictionary(zstandard.ZstdDecompressor().decompress(stored, max_output_size=plain_len))


def sealed_records(data, salt, base):
    trailer = data[-164:]
    check(trailer[:128] == data[:128] and trailer[128:136] == b"SEALEND\n", "trailer")
    directory_at, directory_len, directory_crc, file_len, crc = struct.unpack_from("<QIIQI", trailer, 136)
    check(crc == zlib.crc32(trailer[128:160]) ^ salt and file_len == len(data), "trailer checksum")
    directory = data[directory_at : directory_at + directory_len]
    check(directory_crc == zlib.crc32(directory) ^ salt, "directory")
    sections = {}
    for tag, crc, offset, length in struct.iter_unpack("<4sIQQ", directory):
        sections[tag] = data[offset : offset + length]
        check(crc == zlib.crc32(sections[tag]) ^ salt, f"section {tag}")
    at = struct.unpack_from("<Q", data, 88)[0]
    options, shared = {}, None
    if at > 128:
        if data[128:132] == b"\xa7col":
            shared = columns_dictionary(data[128:at], sections[b"DICT"], salt)
        else:
            check(sections[b"DICT"] == data[128:at], "second dictionary")
            options["dict_data"] = dictionary_of(data[128:at], salt)
    count, end = struct.unpack_from("<QQ", sections[b"SUMM"])
    seq, incarnation, missing = base, None, 0
    while seq < end:
        fixed = data[at : at + 52]
        magic, codec, flags, stored, plain_len, first, rows, _, _, payload_crc, crc = struct.unpack("<4sBBxxIIQIqqII", fixed)
        run = data[at + 52 : at + 68] if flags & 1 else b""
        check(magic == b"\xa7blk" and first == seq and crc == zlib.crc32(fixed[:48] + run) ^ salt, f"block at {at}")
        incarnation = run or incarnation
        at += 52 + len(run)
        plain = data[at : at + stored]
        at += stored
        check(payload_crc == zlib.crc32(plain) ^ salt, "block payload")
        if codec == 3:
            for _ in range(rows):
                yield seq, incarnation, GAP, 0, 0, b"", b""
                seq, missing = seq + 1, missing + 1
            continue
        if codec == 5:
            check(rows == 1, "one record tells of what was dropped")
            yield seq, incarnation, DROPPED, 0, last_dropped(plain), b"", plain
            seq, missing = seq + 1, missing + 1
            continue
        if codec == 4:
            for (kind, record_flags, key), time, body in shared.records(plain, rows, plain_len):
                yield seq, incarnation, kind, record_flags, time, key, body
                seq += 1
            continue
        if codec == 1:
            plain = zstandard.ZstdDecompressor(**options).decompress(plain, max_output_size=plain_len)
        check(len(plain) == plain_len, "plain length")
        here, lengths, times, meta, time = 1, [], [], [(1, 0, 0)] * rows, 0
        for _ in range(rows):
            value, here = varint(plain, here)
            lengths.append(value)
        for _ in range(rows):
            value, here = varint(plain, here)
            time = wrap(time + signed(value))
            times.append(time)
        if plain[0] & 1:
            for n in range(rows):
                key_len, after = varint(plain, here + 2)
                meta[n], here = (plain[here], plain[here + 1], key_len), after
        keys_at, here = here, here + sum(key_len for _, _, key_len in meta)
        for length, time, (kind, record_flags, key_len) in zip(lengths, times, meta):
            key, keys_at = plain[keys_at : keys_at + key_len], keys_at + key_len
            yield seq, incarnation, kind, record_flags, time, key, plain[here : here + length]
            here, seq = here + length, seq + 1
        check(here == len(plain), "bodies up to the end of the payload")
    check(end == base + count + missing, "summary")


def root_of(hashes):
    """RFC 6962, section 2.1, as it is written there."""
    if len(hashes) == 1:
        return hashes[0]
    if not hashes:
        return hashlib.sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root_of(hashes[:split]) + root_of(hashes[split:])).digest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log")
    parser.add_argument("--root")
    parser.add_argument("--records", type=int)
    parser.add_argument("--missing", type=int)
    arguments = parser.parse_args()

    def read(name):
        with open(os.path.join(arguments.log, name), "rb") as file:
            return file.read()

    identity = read("identity")
    log_id, _ = header(identity, b"IDNT")
    check(len(identity) == 256 and identity[:128] == identity[128:], "identity")
    names = sorted((int(m[1]), int(m[2]), m[3], m[0]) for m in map(NAME.match, os.listdir(arguments.log)) if m)
    leaves, missing, notes = [], 0, 0
    for n, (base, ordinal, ending, name) in enumerate(names):
        # A segment holds the records to the base seq of the next, and starts where the one before ended.
        end = names[n + 1][0] if n + 1 < len(names) else None
        data = read(name)
        this_log, salt = header(data, b"RAW " if ending == "log" else b"SEAL", base, ordinal)
        check(this_log == log_id, "log id")
        for seq, run, kind, flags, time, key, body in (raw_records if ending == "log" else sealed_records)(data, salt, base):
            if end is not None and seq >= end:
                break
            check(seq == len(leaves), f"record {len(leaves)} comes next")
            fixed = struct.pack("<B16s16sQBBHq", 0, log_id, run, seq, kind, flags, len(key), time)
            missing += kind == GAP
            notes += kind == DROPPED
            leaves.append(hashlib.sha256(fixed + key + hashlib.sha256(body).digest()).digest())
    root = root_of(leaves).hex()
    records = len(leaves) - missing - notes
    print(f"{records} records by docs/format.md alone, {missing} in gaps, {notes} tell of dropped ones, root {root}")
    check(arguments.root in (None, root), f"the root is not {arguments.root}")
    check(arguments.missing in (None, missing), f"not {arguments.missing} records are in gaps")
    check(arguments.records in (None, records), f"there are not {arguments.records} records")


if __name__ == "__main__":
    main()
