//! The frames of the raw baseline: a length, a CRC-32 and a body, and nothing else. How fast anything can be that keeps
//! one file and checks what it reads.

use super::Reads;
use crate::Result;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Bytes before the body: its length and its checksum.
const HEADER_BYTES: usize = 8;

/// Adds a frame to `out`.
pub(super) fn push(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    out.extend_from_slice(body);
}

/// File, offset and length of a body.
type Place = (usize, u64, u32);

/// Reads files of frames one after the other, with an index of where they begin.
pub(super) struct Frames {
    files: Vec<PathBuf>,
    places: Vec<Place>,
    open: Vec<File>,
    body: Vec<u8>,
}

impl Frames {
    /// Reads all frames once, to know where they are.
    pub(super) fn new(files: Vec<PathBuf>) -> Result<Self> {
        let open = files.iter().map(File::open).collect::<Result<Vec<_>, _>>()?;
        let mut frames = Self { files, places: Vec::new(), open, body: Vec::new() };
        let mut places = Vec::new();
        frames.each(|place, _| {
            places.push(place);
            Ok(())
        })?;
        frames.places = places;
        Ok(frames)
    }

    pub(super) fn len(&self) -> u64 {
        self.places.len() as u64
    }

    fn each(&mut self, mut see: impl FnMut(Place, &[u8]) -> Result<()>) -> Result<()> {
        for (index, path) in self.files.iter().enumerate() {
            let mut input = BufReader::with_capacity(256 << 10, File::open(path)?);
            let mut at = 0;
            let mut header = [0; HEADER_BYTES];
            while input.read_exact(&mut header).is_ok() {
                let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
                if len == 0 {
                    break;
                }
                self.body.resize(len as usize, 0);
                input.read_exact(&mut self.body)?;
                check(&header, &self.body)?;
                see((index, at + HEADER_BYTES as u64, len), &self.body)?;
                at += HEADER_BYTES as u64 + u64::from(len);
            }
        }
        Ok(())
    }
}

fn check(header: &[u8; HEADER_BYTES], body: &[u8]) -> Result<()> {
    let expected = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if crc32fast::hash(body) != expected {
        return Err("a frame is damaged".into());
    }
    Ok(())
}

impl Reads for Frames {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some(&(file, offset, len)) = self.places.get(seq as usize) else { return Ok(false) };
        let frame_bytes = HEADER_BYTES + len as usize;
        self.body.resize(frame_bytes, 0);
        self.open[file].read_exact_at(&mut self.body, offset - HEADER_BYTES as u64)?;
        let Some((header, body)) = self.body.split_first_chunk() else { return Err("a frame is too short".into()) };
        check(header, body)?;
        see(body);
        Ok(true)
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each(|_, body| see(body))
    }
}
