//! The parts of a log's files, written by docs/format.md alone, and the repair of checksums over damaged ones.

pub(crate) const HEADER_BYTES: usize = 128;
pub(crate) const FRAME_HEADER_BYTES: usize = 72;
pub(crate) const ENTRY_HEADER_BYTES: usize = 20;
pub(crate) const BLOCK_HEADER_BYTES: usize = 52;
pub(crate) const TRAILER_BYTES: usize = 164;
/// Where the frames of a raw segment begin.
pub(crate) const DATA_START: usize = 8192;
/// Where in a file header the file's random id stands.
const FILE_ID: std::ops::Range<usize> = 48..64;

/// What every checksum of a file is XORed with.
#[derive(Clone, Copy)]
pub(crate) struct Salt(pub(crate) u32);

impl Salt {
    pub(crate) fn of(file_id: &[u8]) -> Self {
        Self(crc32fast::hash(file_id))
    }

    /// The salt of a file that begins with a file header.
    pub(crate) fn in_file(bytes: &[u8]) -> Self {
        bytes.get(FILE_ID).map_or(Self(0), Self::of)
    }

    pub(crate) fn crc(self, bytes: &[u8]) -> u32 {
        crc32fast::hash(bytes) ^ self.0
    }

    fn entry_crc(self, seq: u64, entry: &[u8]) -> u32 {
        self.crc(&entry[4..]) ^ (seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn put(bytes: &mut [u8], at: usize, crc: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// A file header.
pub(crate) fn header(kind: &[u8; 4], ids: [[u8; 16]; 2], base_seq: u64, ordinal: u64, specific: &[u8]) -> Vec<u8> {
    let mut out = b"ANNALS\r\n".to_vec();
    out.extend(kind);
    out.extend([1, 0, 128, 0]);
    out.extend([0; 16]);
    out.extend(ids.concat());
    out.extend(base_seq.to_le_bytes());
    out.extend(ordinal.to_le_bytes());
    out.extend(7u64.to_le_bytes());
    out.extend(specific);
    out.resize(HEADER_BYTES - 4, 0);
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

/// Makes the checksum of the file header at `at` right.
pub(crate) fn repair_header(bytes: &mut [u8], at: usize) {
    if let Some(header) = bytes.get(at..).and_then(|bytes| bytes.get(..HEADER_BYTES - 4)) {
        let crc = crc32fast::hash(header);
        put(bytes, at + HEADER_BYTES - 4, crc);
    }
}

/// An entry: a record in a frame.
pub(crate) fn entry(seq: u64, time: i64, key: &[u8], body: &[u8], salt: Salt) -> Vec<u8> {
    entry_of(1, seq, time, key, body, salt)
}

/// The entry of a record of `kind`.
pub(crate) fn entry_of(kind: u8, seq: u64, time: i64, key: &[u8], body: &[u8], salt: Salt) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(((ENTRY_HEADER_BYTES + key.len() + body.len()) as u32).to_le_bytes());
    out.extend([kind, 0]);
    out.extend((key.len() as u16).to_le_bytes());
    out.extend(time.to_le_bytes());
    out.extend(key);
    out.extend(body);
    repair_entry(&mut out, seq, salt);
    out
}

/// Makes the checksum of an entry right.
pub(crate) fn repair_entry(entry: &mut [u8], seq: u64, salt: Salt) {
    if entry.len() >= 8 {
        let crc = salt.entry_crc(seq, entry);
        put(entry, 0, crc);
    }
}

/// What a frame's header says beside its lengths and checksums.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) watermark: u64,
    pub(crate) incarnation: [u8; 16],
    pub(crate) times: (i64, i64),
}

impl Frame {
    /// The frame around `payload`, checksums to be repaired.
    pub(crate) fn around(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = b"aFrm".to_vec();
        out.extend([self.kind, 0, 0, 0]);
        out.extend((payload.len() as u32).to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.first_seq.to_le_bytes());
        out.extend(self.watermark.to_le_bytes());
        out.extend(self.incarnation);
        out.extend(self.times.0.to_le_bytes());
        out.extend(self.times.1.to_le_bytes());
        out.extend([0; 8]);
        out.extend(payload);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }
}

/// Makes all checksums of the frame at `at` right, as far as its lengths lead.
pub(crate) fn repair_frame(bytes: &mut [u8], at: usize, salt: Salt) {
    let payload = at + FRAME_HEADER_BYTES;
    if bytes.len() < payload {
        return;
    }
    let end = payload.saturating_add(u32_at(bytes, at + 8)).min(bytes.len());
    let payload_crc = if bytes[at + 4] == 1 {
        let (mut entry, mut seq, mut crcs) = (payload, u64_at(bytes, at + 16), Vec::new());
        while entry + ENTRY_HEADER_BYTES <= end {
            let len = u32_at(bytes, entry + 4).max(ENTRY_HEADER_BYTES);
            let entry_end = entry.saturating_add(len).min(end);
            repair_entry(&mut bytes[entry..entry_end], seq, salt);
            crcs.extend_from_slice(&bytes[entry..entry + 4]);
            (entry, seq) = (entry_end, seq.wrapping_add(1));
        }
        salt.crc(&crcs)
    } else {
        salt.crc(&bytes[payload..end])
    };
    put(bytes, at + 64, payload_crc);
    let crc = salt.crc(&bytes[at..at + 68]);
    put(bytes, at + 68, crc);
}

/// Makes the checksums of every frame in a raw segment right, and those of its two headers.
pub(crate) fn repair_raw(bytes: &mut [u8]) {
    repair_header(bytes, 0);
    repair_header(bytes, 4096);
    let salt = Salt::in_file(bytes);
    for at in (DATA_START..bytes.len()).step_by(8) {
        if bytes[at..].starts_with(b"aFrm") {
            repair_frame(bytes, at, salt);
        }
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn signed_varint(out: &mut Vec<u8>, value: i64) {
    varint(out, (value << 1 ^ value >> 63) as u64);
}

/// Makes the checksums of the block at `at` right.
pub(crate) fn repair_block(bytes: &mut [u8], at: usize, salt: Salt) {
    if bytes.len() < at + BLOCK_HEADER_BYTES {
        return;
    }
    let run = usize::from(bytes[at + 5] & 1) * 16;
    let payload_at = at + BLOCK_HEADER_BYTES + run;
    let end = payload_at.saturating_add(u32_at(bytes, at + 8));
    if let Some(payload) = bytes.get(payload_at..end) {
        let crc = salt.crc(payload);
        put(bytes, at + 44, crc);
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[at..at + 48]);
    hasher.update(bytes.get(at + BLOCK_HEADER_BYTES..payload_at).unwrap_or_default());
    let crc = hasher.finalize() ^ salt.0;
    put(bytes, at + 48, crc);
}

/// A copy of a dictionary that is stored as `stored`.
pub(crate) fn dictionary(plain_len: u32, stored: &[u8], salt: Salt) -> Vec<u8> {
    let mut out = b"\xA7dic".to_vec();
    out.extend(plain_len.to_le_bytes());
    out.extend((stored.len() as u32).to_le_bytes());
    out.extend(salt.crc(stored).to_le_bytes());
    out.extend(salt.crc(&out).to_le_bytes());
    out.extend(stored);
    out
}

/// The entries of a section directory.
pub(crate) fn directory(sections: &[([u8; 4], u64, Vec<u8>)], salt: Salt) -> Vec<u8> {
    let entry = |(tag, offset, bytes): &([u8; 4], u64, Vec<u8>)| {
        let mut out = tag.to_vec();
        out.extend(salt.crc(bytes).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend((bytes.len() as u64).to_le_bytes());
        out
    };
    sections.iter().flat_map(entry).collect()
}

/// The trailer of a file that begins with `header`, of which the directory ends where the trailer begins.
pub(crate) fn trailer(header: &[u8], directory_at: u64, directory: &[u8], salt: Salt) -> Vec<u8> {
    let mut out = header[..HEADER_BYTES].to_vec();
    out.extend(b"SEALEND\n");
    out.extend(directory_at.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(salt.crc(directory).to_le_bytes());
    out.extend((directory_at + (directory.len() + TRAILER_BYTES) as u64).to_le_bytes());
    out.extend(salt.crc(&out[HEADER_BYTES..]).to_le_bytes());
    out
}

/// Makes the checksums of a sealed file's blocks, sections, directory and trailer right, as far as they can be found.
pub(crate) fn repair_sealed(bytes: &mut [u8]) {
    repair_header(bytes, 0);
    let (salt, len) = (Salt::in_file(bytes), bytes.len());
    let Some(trailer) = len.checked_sub(TRAILER_BYTES) else { return };
    for at in 0..trailer {
        if bytes[at..].starts_with(b"\xA7blk") {
            repair_block(bytes, at, salt);
        }
    }
    let at = u64_at(bytes, trailer + 136) as usize;
    let end = at.saturating_add(u32_at(bytes, trailer + 144));
    for entry in (at..end.min(trailer)).step_by(24) {
        let (section, section_len) = (u64_at(bytes, entry + 8) as usize, u64_at(bytes, entry + 16) as usize);
        if let Some(section) = bytes.get(section..section.saturating_add(section_len)) {
            let crc = salt.crc(section);
            put(bytes, entry + 4, crc);
        }
    }
    if let Some(found) = bytes.get(at..end) {
        let crc = salt.crc(found);
        put(bytes, trailer + 148, crc);
    }
    bytes[trailer + 152..trailer + 160].copy_from_slice(&(len as u64).to_le_bytes());
    let crc = salt.crc(&bytes[trailer + 128..trailer + 160]);
    put(bytes, trailer + 160, crc);
    repair_header(bytes, trailer);
}

/// Makes the checksum at the end of an index right, and that of its header.
pub(crate) fn repair_index(bytes: &mut [u8]) {
    repair_header(bytes, 0);
    let salt = Salt::in_file(bytes);
    if let Some(at) = bytes.len().checked_sub(4).filter(|at| *at >= HEADER_BYTES) {
        let crc = salt.crc(&bytes[..at]);
        put(bytes, at, crc);
    }
}

/// Makes the checksum of a head right.
pub(crate) fn repair_head(bytes: &mut [u8]) {
    if let Some(covered) = bytes.get(..68) {
        let crc = crc32fast::hash(covered);
        put(bytes, 68, crc);
    }
}

/// The checksum of a part of a field index: of its field's number, its own, and its bytes.
fn part_crc(salt: Salt, field: u32, part: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&field.to_le_bytes());
    hasher.update(&part.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize() ^ salt.0
}

/// Makes the checksums of a field index right: those of its header, its directory, and the pages and lists that this leads to.
pub(crate) fn repair_fields(bytes: &mut [u8]) {
    const LENGTH_AT: usize = 88 + 28;
    repair_header(bytes, 0);
    let salt = Salt::in_file(bytes);
    let end = HEADER_BYTES.saturating_add(u32_at(bytes, LENGTH_AT));
    let Some(directory) = bytes.get(HEADER_BYTES..end.saturating_sub(4)).map(<[u8]>::to_vec) else { return };
    put(bytes, end - 4, part_crc(salt, u32::MAX, 0, &directory));
    let mut at = 4;
    for field in 0..u32_at(&directory, 0).min(64) as u32 {
        let Some(&keys) = directory.get(at) else { return };
        at += 1;
        for _ in 0..keys {
            at += 2 + (u32_at(&directory, at) & 0xffff);
        }
        let (pages_at, lists_len) = (u64_at(&directory, at + 2) as usize, u64_at(&directory, at + 10) as usize);
        let count = u32_at(&directory, at + 18).min(directory.len() / 4);
        let offsets: Vec<usize> =
            (0..count).map(|n| pages_at.saturating_add(u32_at(&directory, at + 22 + 4 * n))).collect();
        for (number, page) in offsets.windows(2).enumerate() {
            if let Some(covered) = bytes.get(page[0].saturating_add(4)..page[1]) {
                let crc = part_crc(salt, field, number as u64, covered);
                put(bytes, page[0], crc);
            }
        }
        let lists_at = offsets.last().copied().unwrap_or(pages_at).saturating_add(15) / 16 * 16;
        repair_lists(bytes, salt, field, lists_at, lists_len);
        at += 22 + 4 * count;
    }
}

/// Makes the checksums of the lists of one field right, one after the other.
fn repair_lists(bytes: &mut [u8], salt: Salt, field: u32, lists_at: usize, lists_len: usize) {
    let mut offset = 0;
    while offset < lists_len && lists_at.saturating_add(offset + 32) <= bytes.len() {
        let at = lists_at + offset;
        let end = (at + 32).saturating_add(u32_at(bytes, at + 12));
        if let Some(payload) = bytes.get(at + 32..end) {
            let crc = part_crc(salt, field, offset as u64, payload);
            put(bytes, at + 16, crc);
        }
        let crc = part_crc(salt, field, offset as u64, &bytes[at..at + 28]);
        put(bytes, at + 28, crc);
        offset = (end - lists_at).next_multiple_of(16);
    }
}
