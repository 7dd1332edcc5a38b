//! Repair in a walk: that of a sound log changes nothing; that of a damaged copy keeps all that can be read, and says what is
//! missing.

use crate::simulator::kept::check_kept;
use crate::simulator::model::{Failure, Step};
use crate::simulator::random::Random;
use crate::simulator::walk::Walk;
use annals::storage::sim::SimDisk;
use annals::{Error, Gap, Reader, Repair, ScanRange};

/// Files of which no record depends, and that any opening may write.
fn counts(name: &str) -> bool {
    name != "head" && name != "lock"
}

impl Walk {
    /// Repairs the log between two lives of it, and a copy of it that is damaged.
    pub(crate) fn repair(&mut self, random: &mut Random) -> Step {
        let log = self.log.take().ok_or(Error::Closed)?;
        log.close()?;
        self.model.all_durable();
        // What any opening would remove goes with the first repair.
        for is_first in [true, false] {
            let before = self.disk.digest(counts);
            let report = Repair::apply().run_on(self.disk.storage())?;
            let is_sound = report.damage.is_empty() && report.replaced.is_empty() && report.gaps.is_empty();
            if !is_sound || !report.is_sound() || report.next_seq != self.model.entries.len() as u64 {
                return Err(Failure::Broken(format!("a repair of a sound log: {report:?}")));
            }
            if !is_first && (!report.is_needless() || self.disk.digest(counts) != before) {
                return Err(Failure::Broken(format!("a repair that was needless changed something: {report:?}")));
            }
        }
        let copy = self.disk.copy();
        if damage(&copy, random) {
            self.check_repaired(&copy)?;
        }
        self.open(random)
    }

    /// Repairs `disk`, of which one sealed segment is damaged, and perhaps what tells where the newest one ended.
    fn check_repaired(&self, disk: &SimDisk) -> Step {
        let report = Repair::apply().run_on(disk.storage())?;
        let entries = &self.model.entries;
        let broken = |what: String| Err(Failure::Broken(format!("after a repair of damage: {what}; {report:?}")));
        if !report.is_sound() || report.next_seq < entries.len() as u64 {
            return broken("it is not sound, or gives seqs again".into());
        }
        let reader = Reader::open_on(disk.storage())?;
        let mut next = check_kept(&reader, &self.model.kept)?.first_seq();
        let mut scan = reader.scan(ScanRange::all())?;
        let mut found = Vec::new();
        while let Some(record) = scan.advance()? {
            let seq = record.seq() as usize;
            entries.get(seq).ok_or_else(|| format!("record {seq} was never appended"))?.check(seq, &record)?;
            found.push(record.seq());
        }
        let gaps: Vec<Gap> = scan.gaps().to_vec();
        for seq in found {
            next = behind(&gaps, next);
            if seq != next {
                return broken(format!("record {next} is neither there nor in a gap: {gaps:?}"));
            }
            next += 1;
        }
        // What nobody can count has room for more than there was.
        if behind(&gaps, next) != report.next_seq || gaps != report.gaps {
            return broken(format!("the records end at {next}: {gaps:?}"));
        }
        let verified = reader.verify(&mut |_| ())?;
        if !verified.is_sound() || !verified.indexes.is_empty() {
            return broken(format!("verifying: {verified:?}"));
        }
        Ok(())
    }
}

/// The first seq from `seq` on that is in no gap.
fn behind(gaps: &[Gap], seq: u64) -> u64 {
    gaps.iter().fold(seq, |seq, gap| if (gap.first_seq..gap.end_seq).contains(&seq) { gap.end_seq } else { seq })
}

/// Changes bytes of a sealed segment, or cuts it; `false` if there is none. Sometimes, all is lost that could tell of one at the
/// end of the log how many records it had.
fn damage(disk: &SimDisk, random: &mut Random) -> bool {
    let files: Vec<_> = disk.files().into_iter().filter(|(name, _)| !name.contains('/')).collect();
    let sealed: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(".seg")).collect();
    if random.percent(30) {
        let tells = |name: &str| name == "head" || name.ends_with(".idx") || name.ends_with(".fld");
        files.iter().filter(|(name, _)| tells(name)).for_each(|(name, _)| disk.replace(name, &[]));
    }
    if sealed.is_empty() {
        return false;
    }
    let (name, len) = sealed[random.below(sealed.len())];
    let Some(mut bytes) = disk.read(name) else { return false };
    match random.percent(20) {
        true => bytes.truncate(random.below(*len)),
        false => (0..1 + random.below(4)).for_each(|_| bytes[random.below(*len)] ^= 1 << random.below(8)),
    }
    disk.replace(name, &bytes);
    true
}
