//! The exact schema of a log: what sealing kept, merged, and what isn't sealed yet, observed.

use crate::error::{Error, Result};
use crate::reader::{Reader, ScanRange};
use crate::shape::Shape;
use crate::view::Segment;

impl Reader {
    /// The shape of all records below `end_seq`, and perhaps of some above: of segments that hold such. Reads no
    /// records of sealed segments whose shape can be read. Records that are damaged have no part in it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn shape(&self, end_seq: u64) -> Result<Shape> {
        let source = self.source();
        source.look()?;
        let chain = source.view.chain();
        let mut shape = Shape::new();
        for (index, segment) in chain.segments.iter().enumerate() {
            let (base, end) = (segment.base_seq(), chain.end_of(index).min(end_seq));
            if base >= end_seq {
                break;
            }
            let kept = match segment {
                Segment::Raw(_) => None,
                Segment::Sealed(slot) => match source.sealed(slot).and_then(|file| file.shape()) {
                    Ok(bytes) => Shape::decode(&bytes).ok(),
                    Err(error) if error.is_damage() => None,
                    Err(error) => return Err(error),
                },
            };
            match kept {
                Some(kept) => shape.merge(&kept),
                None => self.observe(base, end, &mut shape)?,
            }
        }
        Ok(shape)
    }

    fn observe(&self, first_seq: u64, end_seq: u64, shape: &mut Shape) -> Result<()> {
        let mut scan = self.scan(ScanRange::all().seqs(first_seq..end_seq))?;
        loop {
            match scan.advance() {
                Ok(Some(record)) => shape.observe(record.body())?,
                Ok(None) => return Ok(()),
                Err(Error::Damaged(_) | Error::Removed(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
