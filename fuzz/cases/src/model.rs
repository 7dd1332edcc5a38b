//! Drawn operations on a log, with faults and crashes between and within them, against a vector of what was appended.
//!
//! Nothing acknowledged as durable is missing, nothing is there that was not appended, order and bytes are as they were,
//! and a reader never saw a durable record that recovery then denies.

use crate::draw::Draw;
use crate::fixture::options;
use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Batch, Durability, Error, Log, Reader, ScanRange, Timestamp};
use std::time::Duration;

#[derive(Default)]
struct Model {
    /// Timestamp and body of each record, in the order of the log.
    appended: Vec<(i64, Vec<u8>)>,
    /// So many of them are acknowledged as durable.
    durable: usize,
    /// Counts everything ever appended, so that no two records are alike.
    drawn: u64,
    /// A write may have been cut in two.
    cut: bool,
    /// Several writes may have waited for one sync.
    lax: bool,
}

const BUFFERED: Durability = Durability::Buffered { interval: Duration::from_secs(1) };

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let mut disk = SimDisk::new(draw.byte().into());
    let mut model = Model::default();
    let mut log: Option<Log> = None;
    for _ in 0..24 {
        if draw.is_empty() {
            break;
        }
        let outcome = step(&mut draw, &mut disk, &mut log, &mut model);
        if outcome.is_err() {
            // A writer that failed is opened again, on the disk as it is or as a crash leaves it.
            log = None;
            disk = crash(&mut draw, &disk, &model);
            model.check(&disk);
        }
    }
    drop(log);
    model.check(&disk.crash(Loss::Nothing, 1));
    let disk = crash(&mut draw, &disk, &model);
    model.check(&disk);
    model.goes_on(&disk);
}

/// The disk after a crash. A sector is written as one, as it stood in the system's memory at some moment: no later write
/// to it survives an earlier one. So where several writes wait for one sync, none is lost out of order; and where writes
/// were cut inside a sector, all of them survive or none (docs/durability.md, "Recovery").
fn crash(draw: &mut Draw<'_>, disk: &SimDisk, model: &Model) -> SimDisk {
    const WHOLE: [Loss; 2] = [Loss::Everything, Loss::Nothing];
    const IN_ORDER: [Loss; 3] = [Loss::Everything, Loss::Nothing, Loss::Suffix];
    let losses = match (model.cut, model.lax) {
        (true, _) => &WHOLE[..],
        (false, true) => &IN_ORDER,
        (false, false) => &Loss::ALL,
    };
    disk.crash(draw.choose(losses), draw.byte().into())
}

fn step(draw: &mut Draw<'_>, disk: &mut SimDisk, log: &mut Option<Log>, model: &mut Model) -> Result<(), Error> {
    let Some(open) = log else {
        let durability = draw.choose(&[Durability::Durable, Durability::Durable, Durability::Written, BUFFERED]);
        model.lax |= durability != Durability::Durable;
        let opened = options().durability(durability).open_or_create_on(disk.storage())?;
        assert!(opened.recovery().is_complete(), "{:?}", opened.recovery());
        model.settle(&opened.reader())?;
        assert_eq!(opened.next_seq() as usize, model.appended.len());
        *log = Some(opened);
        return Ok(());
    };
    match draw.byte() % 16 {
        0..=5 => {
            let count = 1 + draw.below(4);
            let (size, durability) =
                (draw.choose(&[3, 40, 300, 3_000, 14_000]), draw.choose(&[BUFFERED, Durability::Durable]));
            model.append(open, count, size, durability)?;
        }
        6 => model.durable = model.durable.max(open.sync()? as usize),
        7 => open.maintain()?,
        8 => {
            open.seal()?;
            model.durable = model.appended.len();
        }
        9 => {
            let closing = log.take().expect("it is open");
            closing.close()?;
            model.durable = model.appended.len();
        }
        10 => {
            // The process dies, or the machine, in the middle of nothing.
            *disk = crash(draw, disk, model);
            *log = None;
            model.check(disk);
        }
        11..=13 => {
            let fault =
                draw.choose(&[Fault::Stop, Fault::Stop, Fault::Io, Fault::Full, Fault::Short, Fault::Interrupted]);
            model.cut |= fault == Fault::Short;
            disk.fail_at(disk.calls() + draw.below(20) as u64, fault, draw.one_in(2));
        }
        14 => disk.advance_clock(draw.number() as i64 % 1_000_000_000_000),
        _ => model.check(disk),
    }
    Ok(())
}

impl Model {
    fn append(&mut self, log: &Log, count: usize, size: usize, durability: Durability) -> Result<(), Error> {
        let mut batch = Batch::new();
        for _ in 0..count {
            self.drawn += 1;
            let time = (self.drawn as i64).wrapping_mul(-7_919);
            let text = format!("{:06}-", self.drawn).repeat(size / 7 + 1);
            let value = rmpv::Value::Map(vec![("t".into(), text.into())]);
            let body = crate::draw::encode(&value);
            batch.push_raw(Some(Timestamp::from_micros(time)), &body)?;
            // Noted before the call: what fails may be found all the same.
            self.appended.push((time, body));
        }
        let before = self.appended.len() - count;
        match log.append_batch_with(&mut batch, durability) {
            Ok(seqs) => {
                assert_eq!((seqs.start as usize, seqs.end as usize), (before, self.appended.len()));
                if durability == Durability::Durable {
                    self.durable = self.appended.len();
                }
                self.durable = self.durable.max(log.durable_seq() as usize);
                Ok(())
            }
            Err(Error::DiskFull { .. }) => {
                // Refused without a trace, and the log goes on.
                self.appended.truncate(before);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// How many records `reader` returns; each is that which was appended there.
    ///
    /// # Errors
    /// Damage is none that may be met; the disk may fail.
    fn compare(&self, reader: &Reader) -> Result<usize, Error> {
        let mut scan = reader.scan(ScanRange::all())?;
        let mut count = 0;
        while let Some(record) = scan.advance().inspect_err(|error| assert!(!error.is_damage(), "{error}"))? {
            assert_eq!(record.seq(), count as u64);
            let (time, body) = self.appended.get(count).unwrap_or_else(|| panic!("record {count} was never appended"));
            assert_eq!(record.timestamp().as_micros(), *time);
            assert!(record.body() == body, "record {count} is another one");
            count += 1;
        }
        assert!(count >= self.durable, "{count} records, of {} that were acknowledged", self.durable);
        Ok(count)
    }

    /// What was not acknowledged and is not there will never be.
    fn settle(&mut self, reader: &Reader) -> Result<(), Error> {
        let found = self.compare(reader)?;
        self.appended.truncate(found);
        self.durable = found;
        Ok(())
    }

    /// A reader finds everything acknowledged, and changes nothing.
    fn check(&self, disk: &SimDisk) {
        // The restarted machine has no faults.
        let disk = disk.crash(Loss::Nothing, 3);
        let before = disk.files();
        match Reader::open_on(disk.storage()) {
            Ok(reader) => drop(self.compare(&reader).expect("a sound disk")),
            Err(Error::NotALog { .. }) => assert_eq!(self.durable, 0),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(before, disk.files(), "a reader changed something");
    }

    /// The log opens after all that, takes records, is sealed, and verifies.
    fn goes_on(&mut self, disk: &SimDisk) {
        let log = options().open_or_create_on(disk.storage()).expect("it opens");
        assert!(log.recovery().is_complete(), "{:?}", log.recovery());
        self.settle(&log.reader()).expect("a sound disk");
        self.append(&log, 2, 100, Durability::Durable).expect("there is space");
        log.seal().expect("sealing after recovery");
        log.close().expect("closing");
        let log = options().open_or_create_on(disk.storage()).expect("it opens again");
        assert!(log.recovery().clean, "{:?}", log.recovery());
        assert_eq!(self.compare(&log.reader()).expect("a sound disk"), self.appended.len());
        let verified = log.reader().verify(&mut |_| ()).expect("it can be read");
        assert_eq!((verified.damage, verified.records as usize), (vec![], self.appended.len()));
    }
}
