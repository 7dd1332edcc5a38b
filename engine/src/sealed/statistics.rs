//! Answers about a sealed segment that are kept beside it: looked up by the question, never believed unless they are of this
//! segment and checked, and never worth an error. docs/format.md, "Statistics file".

use super::bytes::{Fields, Salt};
use super::file::SealedFile;
use super::index::binding;
use crate::names::temporary;
use crate::storage::{File, read_exact_at, write_all_at};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, SPECIFIC_BYTES};
use sha2::{Digest, Sha256};
use std::io;

/// Most bytes of a file of answers. Where there are more, those that were kept first go.
const FILE_BYTES_MAX: usize = 2 << 20;

/// Most answers that are kept of a segment.
const ANSWERS_MAX: usize = 256;

/// Bytes of an answer in the directory: the question's id, its length and its checksum.
const ENTRY_BYTES: usize = 32 + 4 + 4;

/// What the hash of a question about several segments begins with: that of a question about one begins with its version.
const AFTER: u8 = 0xFF;

/// What a question is known by.
pub(crate) type QuestionId = [u8; 32];

/// A file of answers that was opened.
struct Answers {
    file: std::sync::Arc<dyn File>,
    salt: Salt,
    entries: Vec<Entry>,
}

/// Where an answer stands.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: QuestionId,
    offset: u64,
    len: u32,
    crc: u32,
}

impl SealedFile {
    /// The answer to the question `id` that was kept, if there is one that can be used.
    pub(crate) fn kept_answer(&self, id: &QuestionId) -> Option<Vec<u8>> {
        let answers = Answers::open(self)?;
        let entry = answers.entries.iter().find(|entry| entry.id == *id)?;
        answers.read(entry)
    }

    /// Keeps `answer` to the question `id`. Returns whether that could be done: it is not worth an error, on a disk that is full
    /// or read-only for one.
    pub(crate) fn keep_answer(&self, id: &QuestionId, answer: &[u8]) -> bool {
        let mut kept = vec![(*id, answer.to_vec())];
        if let Some(answers) = Answers::open(self) {
            let others = answers.entries.iter().filter(|entry| entry.id != *id);
            kept.extend(others.filter_map(|entry| Some((entry.id, answers.read(entry)?))));
        }
        let mut bytes = HEADER_BYTES + 8;
        let fits = |(_, answer): &&(QuestionId, Vec<u8>)| {
            bytes += ENTRY_BYTES + answer.len();
            bytes <= FILE_BYTES_MAX
        };
        let count = kept.iter().take(ANSWERS_MAX).take_while(fits).count();
        kept.truncate(count);
        count > 0 && self.install_answers(&kept).is_some()
    }

    /// What a question is known by that is about this segment after those that `id` is about: no other segments have the same. `None`
    /// if nothing is kept of this one.
    pub(crate) fn question_after(&self, id: &QuestionId) -> Option<QuestionId> {
        let mut digest = Sha256::new_with_prefix([AFTER]);
        digest.update(id);
        digest.update(self.answers_binding()?);
        Some(digest.finalize().into())
    }

    /// Whether all of the answers beside this segment can be used; `None` if there are none.
    ///
    /// # Errors
    /// What the operating system says of opening the file.
    pub(crate) fn are_answers_sound(&self) -> io::Result<Option<bool>> {
        match self.storage.open(&self.name().statistics().to_string()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(Some(
                Answers::open(self)
                    .is_some_and(|answers| answers.entries.iter().all(|entry| answers.read(entry).is_some())),
            )),
        }
    }

    /// Writes the file anew. It needs no sync: one that a crash damages is not believed.
    fn install_answers(&self, kept: &[(QuestionId, Vec<u8>)]) -> Option<()> {
        let (storage, name) = (&*self.storage, self.name().statistics().to_string());
        let bytes = encode(&self.answers_header()?, kept);
        let unfinished = temporary(&name);
        let file = match storage.create(&unfinished) {
            // Somebody else is at it, or was when the process ended. The next writer of the log removes what was left.
            Err(_) => return None,
            Ok(file) => file,
        };
        let written = write_all_at(&*file, &bytes, 0).and_then(|()| storage.rename(&unfinished, &name));
        if written.is_err() {
            let _ = storage.remove(&unfinished);
        }
        written.ok()
    }

    fn answers_header(&self) -> Option<FileHeader> {
        Some(FileHeader {
            kind: FileKind::Statistics,
            compatible: 0,
            incompatible: 0,
            log_id: self.log_id().0,
            file_id: self.storage.random().ok()?,
            base_seq: self.name().base_seq,
            ordinal: self.name().ordinal,
            created_us: self.storage.now().as_micros(),
            specific: self.answers_binding()?,
        })
    }

    /// What answers are bound to: that of a field index, in the same place. `None` where there can be none.
    fn answers_binding(&self) -> Option<[u8; SPECIFIC_BYTES]> {
        if !self.takes_fields() {
            return None;
        }
        let segment = binding(self);
        let crc = self.opened.salt.crc(&self.opened.directory.as_ref().ok()?.encode());
        let mut specific = [0; SPECIFIC_BYTES];
        specific[..16].copy_from_slice(&segment.source_file_id);
        specific[16..24].copy_from_slice(&segment.source_bytes.to_le_bytes());
        specific[24..28].copy_from_slice(&crc.to_le_bytes());
        Some(specific)
    }
}

impl Answers {
    /// The answers beside `file`. Whatever is wrong with them, there are none then.
    fn open(file: &SealedFile) -> Option<Self> {
        let specific = file.answers_binding()?;
        let answers = file.storage.open(&file.name().statistics().to_string()).ok()?;
        let len = answers.len().ok().filter(|len| *len <= FILE_BYTES_MAX as u64)?;
        let mut head = [0; HEADER_BYTES + 4];
        read_exact_at(&*answers, &mut head, 0).ok()?;
        let header = FileHeader::decode(&head, FileKind::Statistics).ok()?;
        let name = (header.log_id, header.base_seq, header.ordinal);
        if header.specific != specific || name != (file.log_id().0, file.name().base_seq, file.name().ordinal) {
            return None;
        }
        let salt = Salt::of(&header);
        let count = Fields(&head[HEADER_BYTES..]).u32().filter(|count| *count as usize <= ANSWERS_MAX)?;
        let mut directory = vec![0; 4 + count as usize * ENTRY_BYTES + 4];
        read_exact_at(&*answers, &mut directory, HEADER_BYTES as u64).ok()?;
        let entries = decode_directory(&directory, count, salt, len)?;
        Some(Self { file: answers, salt, entries })
    }

    fn read(&self, entry: &Entry) -> Option<Vec<u8>> {
        let mut bytes = vec![0; entry.len as usize];
        read_exact_at(&*self.file, &mut bytes, entry.offset).ok()?;
        (self.salt.crc_of(&[&entry.id, &bytes]) == entry.crc).then_some(bytes)
    }
}

fn encode(header: &FileHeader, kept: &[(QuestionId, Vec<u8>)]) -> Vec<u8> {
    let salt = Salt::of(header);
    let mut directory = (kept.len() as u32).to_le_bytes().to_vec();
    for (id, answer) in kept {
        directory.extend_from_slice(id);
        directory.extend_from_slice(&(answer.len() as u32).to_le_bytes());
        directory.extend_from_slice(&salt.crc_of(&[id, answer]).to_le_bytes());
    }
    let crc = salt.crc(&directory);
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(&crc.to_le_bytes());
    kept.iter().for_each(|(_, answer)| bytes.extend_from_slice(answer));
    bytes
}

/// The entries of a directory in a file of `len` bytes, which the last answer ends.
fn decode_directory(directory: &[u8], count: u32, salt: Salt, len: u64) -> Option<Vec<Entry>> {
    let (checked, crc) = directory.split_last_chunk()?;
    if salt.crc(checked) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut fields = Fields(checked.get(4..)?);
    let mut offset = (HEADER_BYTES + directory.len()) as u64;
    let mut entries = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let entry = Entry { id: fields.array()?, offset, len: fields.u32()?, crc: fields.u32()? };
        offset += u64::from(entry.len);
        entries.push(entry);
    }
    (offset == len).then_some(entries)
}
