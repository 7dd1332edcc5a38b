"""Reads blocks of columns by docs/format.md alone: sections "Columns", "What a cell is" and "Dictionary of columns"."""

import datetime
import struct
import sys

import zstandard

NUMBER, COUNT, KEYS, WORD = "number", "count", "keys", "word"
EPOCH = datetime.datetime(1970, 1, 1)


def check(condition, what):
    if not condition:
        sys.exit(f"not as docs/format.md says: {what}")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def signed(value):
    return (value >> 1) ^ -(value & 1)


def wrap(value):
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


class Cursor:
    """Bytes that are read from front to back."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, length):
        check(self.at + length <= len(self.data), "a part that ends early")
        self.at += length
        return self.data[self.at - length : self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value, self.at = varint(self.data, self.at)
        return value

    def signed(self):
        return signed(self.varint())

    def done(self):
        return self.at == len(self.data)


def integer(value):
    """The smallest MessagePack of an integer."""
    if 0 <= value < 0x80 or -0x20 <= value < 0:
        return struct.pack("B", value & 0xFF)
    for limit, unsigned, negative in ((8, "B", "b"), (16, "H", "h"), (32, "I", "i"), (64, "Q", "q")):
        if 0 <= value < 1 << limit:
            return bytes([0xCC + (8, 16, 32, 64).index(limit)]) + struct.pack(">" + unsigned, value)
        if -(1 << limit - 1) <= value < 0:
            return bytes([0xD0 + (8, 16, 32, 64).index(limit)]) + struct.pack(">" + negative, value)


def string(text):
    size = len(text)
    if size < 32:
        return bytes([0xA0 | size]) + text
    if size < 1 << 8:
        return struct.pack(">BB", 0xD9, size) + text
    return (struct.pack(">BH", 0xDA, size) if size < 1 << 16 else struct.pack(">BI", 0xDB, size)) + text


def map_head(pairs):
    if pairs < 16:
        return bytes([0x80 | pairs])
    return struct.pack(">BH", 0xDE, pairs) if pairs < 1 << 16 else struct.pack(">BI", 0xDF, pairs)


def text_of(value):
    """What stands in a string; the decimal digits of an integer."""
    head = value[0]
    if 0xA0 <= head < 0xC0 or 0xD9 <= head <= 0xDB:
        return value[{0xD9: 2, 0xDA: 3, 0xDB: 5}.get(head, 1) :]
    if head < 0x80:
        return b"%d" % head
    size = {0xCC: "B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
    check(head in size, "a reference to a string or an integer that is not negative")
    return b"%d" % struct.unpack(size[head], value[1:])


def moment(value, form):
    fraction, separator = form >> 1, " " if form & 1 else "T"
    seconds, rest = divmod(value, 10**fraction)
    days, of_day = divmod(seconds, 86_400)
    # Python has no year 0.
    date = (EPOCH + datetime.timedelta(days=days + (146_097 if days < -719_162 else 0))).date()
    year = date.year - (400 if days < -719_162 else 0)
    text = "%04d-%02d-%02d%s%02d:%02d:%02d" % (
        year, date.month, date.day, separator, of_day // 3600, of_day // 60 % 60, of_day % 60
    )
    return (text + (".%0*d" % (fraction, rest) if fraction else "")).encode()


class Dictionary:
    def __init__(self, plain):
        fields = Cursor(plain)
        check(fields.byte() == 1, "version of the dictionary")
        self.columns, self.slots = [], [(NUMBER, None)]
        self.of_slot = [None]
        for _ in range(fields.varint()):
            flags, active, literals = fields.byte(), fields.varint(), fields.varint()
            entries = [None]
            for _ in range(active):
                entries.append(self.entry(fields, (len(self.columns), len(entries))))
            lengths = [fields.varint() for _ in range(literals)]
            entries += [("literal", fields.take(length), ()) for length in lengths]
            self.columns.append((flags, entries))
        for n, (holds, _) in enumerate(self.slots):
            if holds == NUMBER and n > 0:
                reference = fields.varint()
                self.slots[n] = (holds, reference - 1 if reference else None)
        content = fields.data[fields.at :]
        self.zstd = zstandard.ZstdDecompressor()
        if content:
            self.zstd = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(content))

    def slot(self, holds, place):
        self.slots.append((holds, None))
        self.of_slot.append(place)
        return len(self.slots) - 1

    def entry(self, fields, place):
        tag = fields.byte()
        if tag in (1, 7):
            pairs = [(fields.take(fields.varint()), fields.varint()) for _ in range(fields.varint())]
            slots = (self.slot(COUNT, place), self.slot(KEYS, place)) if tag == 7 else ()
            return ("map" if tag == 7 else "shape", pairs, slots)
        if tag == 2:
            return self.text(fields, place)
        if tag == 3:
            return ("lines", fields.varint(), (self.slot(COUNT, place),))
        if tag == 4:
            return ("integer", None, (self.slot(NUMBER, place),))
        if tag == 5:
            return ("decimal", fields.byte(), (self.slot(NUMBER, place),))
        check(tag == 6, f"tag {tag}")
        return ("float", None, (self.slot(8, place),))

    def text(self, fields, place):
        parts, slots = [], []
        while tag := fields.byte():
            if tag == 1:
                parts.append((tag, fields.take(fields.varint()), None))
                continue
            if tag == 15:
                parts.append((tag, fields.varint(), None))
                continue
            detail = fields.byte() if tag in (3, 7, 8, 9, 10, 13) else None
            holds = {9: lambda: (detail + 1) // 2, 10: lambda: (detail + 1) // 2, 11: lambda: 16, 12: lambda: 16}
            slot = self.slot(WORD if tag == 14 else holds.get(tag, lambda: NUMBER)(), place)
            parts.append((tag, detail, slot))
            slots.append(slot)
        return ("text", parts, tuple(slots))

    def records(self, payload, rows, plain_len):
        return Block(self, payload, rows, plain_len).records()


class Block:
    def __init__(self, dictionary, payload, rows, plain_len):
        self.dictionary, self.rows = dictionary, rows
        fields = Cursor(payload)
        compressed, plain = fields.byte(), fields.take(fields.varint())
        if compressed:
            plain = dictionary.zstd.decompress(plain, max_output_size=plain_len)
        check(len(plain) == plain_len, "plain length")
        self.packed = Cursor(payload[fields.at :])
        fields = Cursor(plain)
        heads = self.heads = Cursor(fields.take(fields.varint()))
        self.data = Cursor(plain[fields.at :])
        self.meta = [(1, 0, b"")] * rows
        if heads.byte() & 1:
            lengths = [(heads.byte(), heads.byte(), heads.varint()) for _ in range(rows)]
            self.meta = [(kind, flags, self.data.take(length)) for kind, flags, length in lengths]
        self.held = {0: self.numbers(rows)}
        self.times = list(self.held[0])
        counts = [0] * len(dictionary.columns)
        counts[0] = rows
        self.codes, self.raw = {}, {}
        for column, (_, entries) in enumerate(dictionary.columns):
            if counts[column]:
                self.column(column, entries, counts)
        check(heads.done() and self.data.done() and self.packed.done(), "all parts of a block are used up")

    def unpack(self, count, width):
        bits = int.from_bytes(self.packed.take((count * width + 7) // 8), "little")
        return [bits >> n * width & (1 << width) - 1 for n in range(count)]

    def planes(self, count, width):
        planes = [self.data.take(count) for _ in range(width)]
        return [sum(plane[n] << 8 * i for i, plane in enumerate(planes)) for n in range(count)]

    def numbers(self, count):
        mode = self.heads.byte()
        if mode == 0:
            return [self.heads.signed()] * count
        first = self.heads.signed() if mode in (2, 4) else None
        base, width = self.heads.signed(), self.heads.byte()
        stored = count if first is None else count - 1
        offsets = self.unpack(stored, width) if mode in (1, 2) else self.planes(stored, width)
        values = [wrap(base + offset) for offset in offsets]
        if first is None:
            return values
        sums = [first]
        for difference in values:
            sums.append(wrap(sums[-1] + difference))
        return sums

    def run_of_codes(self, count):
        mode = self.heads.byte()
        if mode == 0:
            return [self.heads.varint()] * count
        width = self.heads.byte()
        return self.unpack(count, width) if mode == 1 else self.planes(count, width)

    def words(self, count, part):
        words = []
        while not part.done():
            words.append(part.take(part.varint()))
        check(len(words) == count, "count of words")
        return words

    def column(self, column, entries, counts):
        codes = self.codes[column] = self.run_of_codes(counts[column])
        if 0 in codes:
            self.raw[column] = self.words(codes.count(0), Cursor(self.data.take(self.heads.varint())))
        for code in sorted(set(codes) - {0}):
            kind, detail, slots = entries[code]
            if kind == "literal":
                continue
            count = codes.count(code)
            for slot in slots:
                holds, _ = self.dictionary.slots[slot]
                if holds in (NUMBER, COUNT):
                    self.held[slot] = self.numbers(count)
                elif holds == KEYS:
                    self.held[slot] = self.numbers(sum(self.held[slots[0]]))
                elif holds == WORD:
                    self.held[slot] = self.words(count, Cursor(self.data.take(self.heads.varint())))
                else:
                    part = self.packed if self.heads.byte() else self.data
                    self.held[slot] = [part.take(holds) for _ in range(count)]
            if kind == "shape":
                for _, child in detail:
                    counts[child] += count
            elif kind == "map":
                for number in self.held[slots[1]]:
                    counts[detail[number][1]] += 1
            elif kind == "lines":
                counts[detail] += sum(self.held[slots[0]])

    def records(self):
        # The next cell of each column, and how often each entry and slot was used before it.
        self.next, self.used = [0] * len(self.dictionary.columns), {}
        for row in range(self.rows):
            self.row, self.firsts = row, {}
            yield self.meta[row], self.times[row], self.value(0)
        check(all(self.next[column] == len(codes) for column, codes in self.codes.items()), "all cells are used up")

    def cell(self, column, position):
        """A cell's entry, and how many cells before it have the same."""
        code = self.codes[column][position]
        ranks = self.used.setdefault(column, ({}, []))
        while len(ranks[1]) <= position:
            own = self.codes[column][len(ranks[1])]
            ranks[1].append(ranks[0].get(own, 0))
            ranks[0][own] = ranks[1][-1] + 1
        return code, ranks[1][position]

    def number(self, slot, rank):
        value, reference = self.held[slot][rank], self.dictionary.slots[slot][1]
        if reference == 0:
            return wrap(value + self.times[self.row])
        if reference is not None:
            column, code = self.dictionary.of_slot[reference]
            if column in self.firsts:
                own, rank = self.cell(column, self.firsts[column])
                if own == code:
                    value = wrap(value + self.held[reference][rank])
        return value

    def enter(self, columns):
        for column in columns:
            self.firsts.setdefault(column, self.next[column])

    def take(self, column):
        self.next[column] += 1
        return self.next[column] - 1

    def value(self, column):
        code, rank = self.cell(column, position := self.take(column))
        if code == 0:
            return self.raw[column][rank]
        kind, detail, slots = self.dictionary.columns[column][1][code]
        if kind == "literal":
            return detail
        if kind == "shape":
            self.enter(child for _, child in detail)
            return b"".join(before + self.value(child) for before, child in detail)
        if kind == "map":
            pairs, start = self.held[slots[0]][rank], sum(self.held[slots[0]][:rank])
            keys = [detail[number] for number in self.held[slots[1]][start : start + pairs]]
            self.enter(child for _, child in keys)
            return map_head(pairs) + b"".join(key + self.value(child) for key, child in keys)
        if kind == "integer":
            return integer(self.number(slots[0], rank))
        if kind == "decimal":
            return b"\xcb" + struct.pack(">d", float(self.number(slots[0], rank)) / 10.0**detail)
        if kind == "float":
            return b"\xcb" + self.held[slots[0]][rank]
        return string(self.text(column, position))

    def text(self, column, position):
        code, rank = self.cell(column, position)
        flags, entries = self.dictionary.columns[column]
        kind, detail, slots = entries[code] if code else ("raw", None, ())
        if kind in ("raw", "literal"):
            own = detail if code else self.raw[column][rank]
            return own if flags & 1 else text_of(own)
        if kind == "integer":
            return b"%d" % self.number(slots[0], rank)
        if kind == "lines":
            return b"\n".join(self.text(detail, self.take(detail)) for _ in range(self.held[slots[0]][rank]))
        return b"".join(self.part(part, rank) for part in detail)

    def part(self, part, rank):
        tag, detail, slot = part
        if tag == 1:
            return detail
        if tag == 15:
            return self.text(detail, self.firsts[detail])
        own = self.held[slot][rank] if self.dictionary.slots[slot][0] != NUMBER else self.number(slot, rank)
        if tag == 14:
            return own
        if tag in (9, 10):
            digits = own.hex() if detail % 2 == 0 else own[:-1].hex() + "%x" % own[-1]
            return (digits.upper() if tag == 10 else digits).encode()
        if tag in (11, 12):
            digits = own.hex()
            digits = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
            return (digits.upper() if tag == 12 else digits).encode()
        if tag == 13:
            return moment(own, detail)
        form = {2: "%d", 4: "%d", 5: "%x", 6: "%X"}.get(tag) or f"%0{detail}" + {3: "d", 7: "x", 8: "X"}[tag]
        return (form % own).encode()[tag == 4 :]
