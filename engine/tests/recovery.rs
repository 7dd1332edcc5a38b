//! What recovery makes of damage: reported, kept, and never taken for the end of the log.

mod codec;
mod random;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Durability, FieldPath, Log, Options, Reader, Repair, ScanRange};
use random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec::codec())
}

fn append(log: &Log, count: u64) {
    for _ in 0..count {
        log.append(&BTreeMap::from([("n", log.next_seq())])).unwrap();
    }
}

fn name_with(disk: &SimDisk, ending: &str) -> String {
    disk.files().into_iter().map(|(name, _)| name).rfind(|name| name.ends_with(ending)).unwrap()
}

#[test]
fn a_sealed_segment_that_was_cut_short_is_reported_though_nothing_follows_it() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 2_000);
    log.seal().unwrap();
    log.close().unwrap();
    let name = name_with(&disk, ".seg");
    let bytes = disk.read(&name).unwrap();
    for len in [bytes.len() - 1, bytes.len() * 3 / 4, bytes.len() / 2] {
        let cut = disk.crash(Loss::Nothing, 1);
        cut.replace(&name, &bytes[..len]);
        let log = options().open_or_create_on(cut.storage()).unwrap();
        let report = log.recovery().clone();
        assert!(!report.clean && report.damaged.iter().any(|damage| damage.path.contains(&name)), "{report:?}");
        append(&log, 3);
        log.close().unwrap();
        let reader = Reader::open_on(cut.storage()).unwrap();
        assert!(!reader.verify(&mut |_| ()).unwrap().is_sound());
        let found = reader.scan(ScanRange::all()).unwrap().filter(|record| record.is_ok()).count() as u64;
        assert_eq!(found, report.next_seq + 3, "what can be read and what was appended since");
    }
}

#[test]
fn what_is_set_aside_is_never_overwritten() {
    let disk = SimDisk::new(1);
    drop(options().open_or_create_on(disk.storage()).unwrap());
    for round in 1..=3 {
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 5);
        log.close().unwrap();
        // Both copies of the newest segment's header are gone, and with them all that it holds.
        let name = name_with(&disk, ".log");
        let mut bytes = disk.read(&name).unwrap();
        bytes[..8_192].fill(round);
        disk.replace(&name, &bytes);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        assert!(!log.recovery().is_complete(), "round {round}: {:?}", log.recovery());
        let kept: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.starts_with("quarantine/")).collect();
        assert_eq!(kept.len(), usize::from(round), "{kept:?}");
    }
}

#[test]
fn a_damaged_frame_in_the_middle_costs_its_own_records_and_is_reported_at_every_opening() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 50);
    let disk = disk.crash(Loss::Nothing, 1);
    let name = name_with(&disk, ".log");
    let mut bytes = disk.read(&name).unwrap();
    bytes[8_192 + 72 + 21] ^= 1;
    disk.replace(&name, &bytes);
    for appended in [3, 5] {
        let log = options().open_or_create_on(disk.storage()).unwrap();
        let damage = &log.recovery().damaged;
        assert_eq!((damage.len(), damage[0].first_seq, damage[0].end_seq), (1, Some(0), Some(1)), "{damage:?}");
        append(&log, appended);
        let outcomes: Vec<_> = log.reader().scan(ScanRange::all()).unwrap().collect();
        assert!(outcomes[0].is_err() && outcomes[1..].iter().all(Result::is_ok));
        assert_eq!(outcomes.len() as u64, log.next_seq());
        assert!(log.seal().is_err(), "what is missing is not sealed away");
        append(&log, 1);
    }
}

#[test]
fn recovery_rewrites_no_more_than_was_written_since_the_file_last_grew() {
    let disk = SimDisk::new(1);
    let options = options().segment_bytes(64 << 20).durability(Durability::Written);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    let body = BTreeMap::from([("text", "x".repeat(64 << 10))]);
    for _ in 0..600 {
        log.append(&body).unwrap();
    }
    let disk = disk.crash(Loss::Nothing, 1);
    drop(log);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    assert_eq!(log.next_seq(), 600);
    let rewritten = log.recovery().rewritten.expect("nobody has asked for a sync");
    // Files grow by 8 MiB, and are synced for that.
    assert!((rewritten.end_seq - rewritten.first_seq) * (64 << 10) <= 8 << 20, "{rewritten:?}");
}

#[test]
fn a_last_write_that_stopped_at_any_sector_is_unfinished_and_not_damage() {
    for size in (0..700).step_by(3) {
        let disk = SimDisk::new(1);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 2);
        let name = name_with(&disk, ".log");
        let end_of_data = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        let before = end_of_data(&disk.read(&name).unwrap());
        log.append(&BTreeMap::from([("text", "x".repeat(size))])).unwrap();
        let bytes = disk.read(&name).unwrap();
        for sector in (before.next_multiple_of(512)..end_of_data(&bytes)).step_by(512) {
            let torn = disk.crash(Loss::Nothing, 1);
            let mut bytes = bytes.clone();
            bytes[sector..].fill(0);
            torn.replace(&name, &bytes);
            let log = options().open_or_create_on(torn.storage()).unwrap();
            let report = log.recovery();
            assert!(report.is_complete(), "{size} bytes, cut at {sector}: {report:?}");
            assert_eq!(log.next_seq(), 2, "{size} bytes, cut at {sector}");
        }
    }
}

/// What of its last write a crash left, sector by sector and byte by byte, wherever in its sector the frame begins.
#[test]
fn a_write_that_did_not_end_is_no_damage_wherever_it_stopped() {
    for before in 0..64 {
        let disk = SimDisk::new(1);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        let body = |len: usize| [&[0x81, 0xA1, b'b', 0xC5, (len >> 8) as u8, len as u8][..], &vec![7; len]].concat();
        log.append_raw(None, &body(200 + 8 * before)).unwrap();
        let start = end_of_data(&disk);
        log.append_raw(None, &body(700 + before)).unwrap();
        let end = end_of_data(&disk);
        let after = disk.crash(Loss::Nothing, 1);
        let name = name_with(&after, ".log");
        let whole = after.read(&name).unwrap();
        let check = |bytes: &[u8], what: &str| {
            let left = after.copy();
            left.replace(&name, bytes);
            let log = options().open_or_create_on(left.storage()).unwrap();
            let report = log.recovery();
            assert!(report.is_complete() && log.next_seq() == 1, "a frame at {start}, {what}: {report:?}");
        };
        let mut lost = whole.clone();
        lost[start..end].fill(0);
        for sectors in 0u32..8 {
            let mut bytes = lost.clone();
            for at in start..end {
                let sector = (at / 512 - start / 512).min(2);
                bytes[at] = if sectors & 1 << sector != 0 { whole[at] } else { 0 };
            }
            if bytes != whole {
                check(&bytes, &format!("sectors {sectors:03b}"));
            }
        }
        // Fewer than 16 bytes that are missing of a header, or of a frame, may as well be its content.
        for cut in (start + 1..start + 56).chain(start + 72..end - 24).step_by(7) {
            let mut bytes = lost.clone();
            bytes[start..cut].copy_from_slice(&whole[start..cut]);
            check(&bytes, &format!("cut at {cut}"));
        }
    }
}

#[test]
fn frames_without_records_behind_an_unfinished_write_are_kept_too() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 3);
    let start = end_of_data(&disk);
    log.maintain().unwrap();
    let end = end_of_data(&disk);
    log.close().unwrap();
    let name = name_with(&disk, ".log");
    let mut bytes = disk.read(&name).unwrap();
    // The watermark never arrived, and the final marker did.
    bytes[start..end].fill(0);
    disk.replace(&name, &bytes);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    let dropped = &log.recovery().dropped[0];
    assert_eq!((dropped.offset, dropped.bytes, log.next_seq()), (start as u64, 2 * 72, 3), "{dropped:?}");
    let kept = dropped.kept_in.as_ref().unwrap().strip_prefix("sim:/").unwrap();
    assert_eq!(disk.read(kept).unwrap(), &bytes[start..start + 2 * 72]);
    // No record was in what is missing.
    append(&log, 1);
    let verified = log.reader().verify(&mut |_| ()).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

#[test]
fn a_segment_whose_sealing_failed_and_was_repeated_holds_its_records_once() {
    // How many begin with the first record.
    let is_first = |name: &str| name.starts_with("00000000000000000000-") && name.ends_with(".seg");
    let sealed = |disk: &SimDisk| disk.files().iter().filter(|(name, _)| is_first(name)).count();
    let mut failed = 0;
    for call in 0..20 {
        let disk = SimDisk::new(1);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 5);
        disk.fail_at(disk.calls() + call, Fault::Io, false);
        let refused = log.seal().is_err();
        if !refused || log.sync().is_err() {
            continue;
        }
        append(&log, 3);
        log.seal().unwrap();
        failed += 1;
        drop(log);
        let check = || {
            let verified = Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap();
            assert!(verified.is_sound() && verified.records == 8, "call {call}: {verified:?}");
        };
        check();
        drop(options().open_or_create_on(disk.storage()).unwrap());
        check();
        assert_eq!(sealed(&disk), 1, "call {call}");
    }
    assert!(failed > 0, "no failure of sealing left the log in order");
}

/// A repair that was cut off has left the segment that it has replaced; and then what replaced it is damaged.
#[test]
fn of_two_sealed_segments_with_the_same_records_a_damaged_one_takes_no_place() {
    let damaged = SimDisk::new(1);
    let log = options().open_or_create_on(damaged.storage()).unwrap();
    append(&log, 60);
    log.seal().unwrap();
    log.close().unwrap();
    let name = name_with(&damaged, ".seg");
    let mut bytes = damaged.read(&name).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    damaged.replace(&name, &bytes);
    let mut cases = 0;
    for stop in 0..60 {
        let disk = damaged.copy();
        disk.fail_at(disk.calls() + stop, Fault::Stop, true);
        let _ = Repair::apply().run_on(disk.storage());
        let disk = disk.crash(Loss::Nothing, 1);
        let sealed =
            |disk: &SimDisk| disk.files().into_iter().filter(|(name, _)| name.ends_with(".seg")).collect::<Vec<_>>();
        let [_, (second, len)] = &sealed(&disk)[..] else { continue };
        cases += 1;
        for kept in [200, len / 2, len - 1] {
            let disk = disk.copy();
            disk.replace(second, &disk.read(second).unwrap()[..kept]);
            for opening in 0..2 {
                let log = options().open_or_create_on(disk.storage()).unwrap();
                let found = (log.next_seq(), readable(&disk).len(), sealed(&disk).len());
                assert_eq!(found, (60, 60, 1), "stop {stop}, {kept} bytes, opening {opening}: {:?}", log.recovery());
            }
        }
    }
    assert!(cases > 0, "no stop left both");
}

/// The seqs of the records that can be read.
fn readable(disk: &SimDisk) -> BTreeSet<u64> {
    let scan = Reader::open_on(disk.storage()).unwrap().scan(ScanRange::all()).unwrap();
    scan.filter_map(Result::ok).map(|record| record.seq()).collect()
}

/// Nine records that one sync has made durable, behind `before` others, with no watermark above them. Those whose numbers
/// are in `bad` are damaged.
fn damaged_burst(before: u64, bad: &[usize]) -> SimDisk {
    let disk = SimDisk::new(3);
    let buffered = Durability::Buffered { interval: Duration::from_secs(1) };
    let log = options().durability(buffered).open_or_create_on(disk.storage()).unwrap();
    for count in [before, 9] {
        append(&log, count);
        log.sync().unwrap();
    }
    let disk = disk.crash(Loss::Nothing, 1);
    let name = name_with(&disk, ".log");
    let mut bytes = disk.read(&name).unwrap();
    let frames: Vec<_> = (8_192..bytes.len()).step_by(8).filter(|&at| bytes[at..].starts_with(b"aFrm")).collect();
    bad.iter().for_each(|n| bytes[frames[before as usize + n] + 72 + 22] ^= 1);
    disk.replace(&name, &bytes);
    disk
}

#[test]
fn records_around_damage_above_the_watermark_are_kept_wherever_recovery_is_cut_off() {
    for (before, bad) in [(0, &[2][..]), (4, &[2]), (0, &[0, 5]), (4, &[5, 8]), (0, &[0, 1, 2, 3, 4, 5, 6, 7, 8])] {
        let disk = damaged_burst(before, bad);
        let expected = readable(&disk);
        let whole = disk.copy();
        let begun = whole.calls();
        drop(options().open_or_create_on(whole.storage()).unwrap());
        assert_eq!(readable(&whole), expected, "{before} before {bad:?}");
        for (call, fault) in (begun..whole.calls()).flat_map(|call| [Fault::Stop, Fault::Full].map(|f| (call, f))) {
            let cut_off = disk.copy();
            cut_off.fail_at(call, fault, fault == Fault::Stop);
            let _ = options().open_or_create_on(cut_off.storage());
            for loss in Loss::ALL {
                let context = format!("{before} before {bad:?}, {fault:?} at call {}, {loss:?}", call - begun);
                let after = cut_off.crash(loss, call);
                let log = options().open_or_create_on(after.storage()).unwrap();
                assert!(!log.recovery().is_complete(), "{context}: {:?}", log.recovery());
                drop(log);
                assert_eq!(readable(&after), expected, "{context}");
            }
        }
    }
}

#[test]
fn damage_at_the_end_that_nothing_counts_stays_reported_and_no_seq_of_it_is_given_again() {
    for (before, is_whole) in [(0, false), (4, false), (0, true), (4, true)] {
        let disk = damaged_burst(before, &[]);
        let name = name_with(&disk, ".log");
        let mut bytes = disk.read(&name).unwrap();
        let last = (8_192..bytes.len()).rfind(|&at| bytes[at..].starts_with(b"aFrm")).unwrap();
        // The header of the last frame; or that of the file, both copies, and of every frame.
        bytes[last + 16] ^= 1;
        if is_whole {
            bytes[..8_192].fill(1);
            let frames: Vec<_> = (8_192..last).filter(|&at| bytes[at..].starts_with(b"aFrm")).collect();
            frames.into_iter().for_each(|at| bytes[at + 16] ^= 1);
        }
        disk.replace(&name, &bytes);
        let lost = if is_whole { 0 } else { before + 8 };
        let count = |disk: &SimDisk| {
            let calls = disk.copy();
            let begun = calls.calls();
            drop(options().open_or_create_on(calls.storage()).unwrap());
            begun..calls.calls()
        };
        for call in count(&disk) {
            let cut_off = disk.copy();
            cut_off.fail_at(call, Fault::Stop, true);
            let _ = options().open_or_create_on(cut_off.storage());
            for loss in Loss::ALL {
                let context = format!("{before} before, cut off at call {call}, {loss:?}");
                let disk = cut_off.crash(loss, call);
                for opening in 0..3 {
                    let log = options().open_or_create_on(disk.storage()).unwrap();
                    let is_told =
                        |damage: &annals::Damage| damage.first_seq <= Some(lost) && damage.end_seq > Some(lost);
                    assert!(log.recovery().damaged.iter().any(is_told), "{context}: {:?}", log.recovery());
                    assert!(log.next_seq() > lost + opening, "{context}: {}", log.next_seq());
                    assert!(log.get(lost).is_err_and(|error| error.is_damage()), "{context}");
                    append(&log, 1);
                    log.close().unwrap();
                }
                let report = Repair::apply().run_on(disk.storage()).unwrap();
                assert!(report.is_sound(), "{context}: {report:?}");
                let log = options().open_or_create_on(disk.storage()).unwrap();
                assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
                assert!(matches!(log.get(lost), Err(annals::Error::Gap(_))), "{context}");
                log.seal().unwrap();
            }
        }
    }
}

/// The newest of a log's files, damaged so that nothing tells how many records it held.
#[test]
fn a_newest_sealed_segment_of_which_nothing_is_left_stays_reported() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 100);
    log.close().unwrap();
    let log = options().open_or_create_on(disk.storage()).unwrap();
    log.seal().unwrap();
    log.close().unwrap();
    disk.replace(&name_with(&disk, ".seg"), &[]);
    for opening in 0..3 {
        let log = options().open_or_create_on(disk.storage()).unwrap();
        let is_told = |damage: &annals::Damage| damage.first_seq == Some(0) && damage.end_seq >= Some(100);
        assert!(log.recovery().damaged.iter().any(is_told), "{opening}: {:?}", log.recovery());
        assert!(log.next_seq() >= 100 + opening);
        assert!(log.get(99).is_err_and(|error| error.is_damage()), "{opening}");
        append(&log, 1);
        log.close().unwrap();
    }
}

/// Cut anywhere: what the index or the head tells of its end is enough to give no seq twice, before a repair and after one; and
/// without them, the log goes on behind as many as there can have been.
#[test]
fn a_newest_sealed_segment_that_is_cut_costs_no_seq_twice() {
    const RECORDS: u64 = 100;
    let sealed = SimDisk::new(1);
    let log = options().open_or_create_on(sealed.storage()).unwrap();
    append(&log, RECORDS);
    log.seal().unwrap();
    log.close().unwrap();
    let (name, index) = (name_with(&sealed, ".seg"), name_with(&sealed, ".idx"));
    let whole = sealed.read(&name).unwrap();
    for len in (0..6).chain([127, 128, 129, 130]).chain((0..whole.len()).step_by(61)) {
        for lost in [&[][..], &["head"], &[index.as_str()], &["head", &index]] {
            let context = format!("{len} of {} bytes, without {lost:?}", whole.len());
            let disk = sealed.copy();
            disk.replace(&name, &whole[..len]);
            lost.iter().for_each(|lost| disk.replace(lost, &[]));
            let log = options().open_or_create_on(disk.storage()).unwrap();
            assert!(log.next_seq() >= RECORDS, "{context}: {}", log.next_seq());
            assert!(!log.recovery().is_complete(), "{context}");
            append(&log, 1);
            log.close().unwrap();
            check_repaired(&disk, RECORDS, &context);
            let unopened = sealed.copy();
            unopened.replace(&name, &whole[..len]);
            lost.iter().for_each(|lost| unopened.replace(lost, &[]));
            check_repaired(&unopened, RECORDS, &context);
        }
    }
}

/// Repairs a log that had `records`: each is there or in a gap, the next seq is another one, and what follows is proven.
fn check_repaired(disk: &SimDisk, records: u64, context: &str) {
    let report = Repair::apply().run_on(disk.storage()).unwrap();
    assert!(report.is_sound(), "{context}: {report:?}");
    let log = options().open_or_create_on(disk.storage()).unwrap();
    assert!(log.next_seq() >= records, "{context}: {}", log.next_seq());
    assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
    append(&log, 300);
    log.seal().unwrap();
    let verified = log.reader().verify(&mut |_| ()).unwrap();
    let is_proven =
        verified.is_sound() && verified.root.is_some() && (verified.unproven, verified.indexes.len()) == (0, 0);
    assert!(is_proven && verified.end_seq == log.next_seq(), "{context}: {verified:?}");
    // However wide the gap is, who reads passes it at once.
    for range in [ScanRange::all(), ScanRange::all().reverse(), ScanRange::all().threads(2)] {
        assert_eq!(log.reader().scan(range).unwrap().map(Result::unwrap).count() as u64, verified.records, "{context}");
    }
    let counted = log.statistics(&annals::StatisticsQuery::over(ScanRange::all())).unwrap();
    assert_eq!((counted.records, counted.gaps), (verified.records, verified.gaps), "{context}");
    for seq in 0..records {
        match log.get(seq) {
            Ok(found) => assert!(found.is_some(), "{context}: {seq}"),
            Err(error) => assert!(matches!(error, annals::Error::Gap(_)), "{context}: {seq}: {error}"),
        }
    }
}

/// The head is not synced: what is left of it after the machine stopped may be from long before.
#[test]
fn a_head_of_an_earlier_boot_does_not_tell_where_a_newest_sealed_segment_ended() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 60);
    let head = disk.read("head").unwrap();
    append(&log, 40);
    log.seal().unwrap();
    log.close().unwrap();
    let (name, index) = (name_with(&disk, ".seg"), name_with(&disk, ".idx"));
    let disk = disk.crash(Loss::Nothing, 1);
    let whole = disk.read(&name).unwrap();
    disk.replace("head", &head);
    disk.replace(&index, &[]);
    for len in (0..whole.len()).step_by(37) {
        let disk = disk.copy();
        disk.replace(&name, &whole[..len]);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        assert!(log.next_seq() >= 100, "{len} of {} bytes: {}", whole.len(), log.next_seq());
        assert!(!log.recovery().is_complete(), "{len} of {} bytes", whole.len());
    }
}

/// Whatever bytes of it are damaged, and whichever of the hints: no seq is given again, every record is there or told of, and a
/// repair says the same.
#[test]
fn a_newest_sealed_segment_that_is_damaged_anywhere_costs_no_seq_twice() {
    const RECORDS: u64 = 600;
    let sealed = SimDisk::new(1);
    let fields = || [FieldPath::new(["n"]).unwrap()];
    let options = || options().segment_bytes(1 << 20).index_fields(fields());
    let log = options().open_or_create_on(sealed.storage()).unwrap();
    for n in 0..RECORDS {
        log.append(&BTreeMap::from([("n", n * n * n % 1_009), ("m", n * 7_919 % 10_007)])).unwrap();
    }
    log.seal().unwrap();
    log.close().unwrap();
    let name = name_with(&sealed, ".seg");
    let whole = sealed.read(&name).unwrap();
    let hints = [name_with(&sealed, ".idx"), name_with(&sealed, ".fld"), "head".to_owned()];
    let mut random = Random(42);
    for case in 0..400 {
        let disk = if random.below(2) == 0 { sealed.copy() } else { sealed.crash(Loss::Nothing, case) };
        let mut bytes = whole.clone();
        if random.below(3) == 0 {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
        }
        for _ in 0..random.below(4) {
            // The end is what tells most.
            let from = if random.below(2) == 0 { 0 } else { bytes.len().saturating_sub(500) };
            let at = (from + random.below((bytes.len() - from + 1) as u64) as usize).min(bytes.len().saturating_sub(1));
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (case % 8));
        }
        disk.replace(&name, &bytes);
        for hint in hints.iter().filter(|_| random.below(2) == 0) {
            disk.replace(hint, &[]);
        }
        let log = options().open_or_create_on(disk.storage()).unwrap();
        assert!(log.next_seq() >= RECORDS, "case {case}: {} of {RECORDS}", log.next_seq());
        let lost: Vec<u64> = (0..RECORDS).filter(|seq| !matches!(log.get(*seq), Ok(Some(_)))).collect();
        let verified = log.reader().verify(&mut |_| ()).unwrap();
        assert!(lost.is_empty() || !verified.is_sound(), "case {case}: {lost:?} are lost in silence");
        log.close().unwrap();
        let report = Repair::apply().run_on(disk.storage()).unwrap();
        let is_missing = |seq: &u64| report.gaps.iter().any(|gap| (gap.first_seq..gap.end_seq).contains(seq));
        assert!(report.is_sound() && lost.iter().all(is_missing), "case {case}: {lost:?}, {report:?}");
    }
}

/// A damaged byte costs no seqs where the blocks, or any hint, still tell where they end.
#[test]
fn one_damaged_byte_in_the_end_of_a_newest_sealed_segment_costs_no_seqs_whatever_hints_are_lost() {
    let sealed = SimDisk::new(1);
    let log = options().open_or_create_on(sealed.storage()).unwrap();
    append(&log, 100);
    log.seal().unwrap();
    log.close().unwrap();
    let (name, index) = (name_with(&sealed, ".seg"), name_with(&sealed, ".idx"));
    let whole = sealed.read(&name).unwrap();
    for at in whole.len() - 500..whole.len() {
        let disk = sealed.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        [(&*name, &bytes[..]), (&index, &[]), ("head", &[])].iter().for_each(|(name, bytes)| disk.replace(name, bytes));
        let log = options().open_or_create_on(disk.storage()).unwrap();
        assert_eq!(log.next_seq(), 100, "byte {at} of {}: {:?}", whole.len(), log.recovery());
        assert!(log.get(99).unwrap().is_some(), "byte {at}");
    }
}

#[test]
fn raw_segments_that_are_still_there_stand_in_for_the_sealed_one_that_is_damaged() {
    let sealed_until = |stop: Option<u64>| {
        let disk = SimDisk::new(1);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        let body = BTreeMap::from([("text", "x".repeat(1_900))]);
        for n in 0..60 {
            assert_eq!(log.append(&body).unwrap(), n);
        }
        log.close().unwrap();
        let log = options().segment_bytes(1 << 20).open_or_create_on(disk.storage()).unwrap();
        let begun = disk.calls();
        stop.into_iter().for_each(|stop| disk.fail_at(begun + stop, Fault::Stop, true));
        let _ = log.seal();
        (disk.crash(Loss::Nothing, 1), disk.calls() - begun)
    };
    let mut tried = 0;
    for stop in 0..sealed_until(None).1 {
        let (disk, _) = sealed_until(Some(stop));
        let names: Vec<_> = disk.files().into_iter().map(|(name, _)| name).collect();
        let Some(sealed) = names.iter().find(|name| name.ends_with(".seg")) else { continue };
        let raws = names.iter().filter(|name| name.ends_with(".log")).map(|name| name[..20].parse::<u64>().unwrap());
        let Some(first) = raws.min() else { continue };
        let bytes = disk.read(sealed).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 3] ^= 1;
        let cut = |len: usize| bytes[..len].to_vec();
        for (what, changed) in [("cut", cut(bytes.len() / 2)), ("a header", cut(128)), ("flipped", flipped)] {
            if what == "flipped" && first > 0 {
                // Some of the raw segments are gone already: what the sealed one says of itself counts.
                continue;
            }
            let left = disk.copy();
            left.replace(sealed, &changed);
            let log = options().open_or_create_on(left.storage()).unwrap();
            assert!(!log.recovery().is_complete(), "stop at call {stop}, {what}: {:?}", log.recovery());
            assert_eq!(log.next_seq(), 60, "stop at call {stop}, {what}");
            drop(log);
            let found = readable(&left);
            let lost: Vec<_> = (first..60).filter(|seq| !found.contains(seq)).collect();
            assert!(lost.is_empty(), "stop at call {stop}, {what}: {lost:?} are in raw segments");
            Repair::apply().run_on(left.storage()).unwrap();
            assert!((first..60).all(|seq| readable(&left).contains(&seq)), "stop at call {stop}, {what}: repaired");
            tried += 1;
        }
    }
    assert!(tried >= 6, "{tried}");
}

#[test]
fn files_that_are_gone_are_reported_by_a_scan_and_at_opening() {
    let disk = SimDisk::new(5);
    let mut log = options().open_or_create_on(disk.storage()).unwrap();
    for part in 0..5 {
        append(&log, 10);
        if part < 3 {
            log.seal().unwrap();
        }
        log.close().unwrap();
        log = options().open_or_create_on(disk.storage()).unwrap();
    }
    drop(log);
    let mut names: Vec<_> = disk.files().into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name.ends_with(".log") || name.ends_with(".seg"));
    names.sort();
    assert_eq!(names.len(), 5);
    // Without the last, it is an older log.
    for (number, name) in names.iter().enumerate().take(4) {
        let left = disk.copy();
        left.storage().remove(name).unwrap();
        let reader = Reader::open_on(left.storage()).unwrap();
        for range in [ScanRange::all(), ScanRange::all().reverse(), ScanRange::all().seqs(number as u64 * 10 + 3..)] {
            let errors: Vec<_> = reader.scan(range).unwrap().filter_map(Result::err).collect();
            assert!(errors.len() == 1 && errors[0].is_damage(), "without {name}: {errors:?}");
        }
        let log = options().open_or_create_on(left.storage()).unwrap();
        // Of sealed segments, opening looks at the first's name and the last's end.
        if number != 1 {
            let seqs: Vec<_> = log.recovery().damaged.iter().map(|damage| (damage.first_seq, damage.end_seq)).collect();
            let (first, end) = (number as u64 * 10, number as u64 * 10 + 10);
            assert_eq!(seqs, [(Some(first), Some(end))], "without {name}: {:?}", log.recovery());
        }
    }
}

#[test]
fn a_file_that_was_put_back_and_is_set_aside_again_takes_no_place_of_the_first() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 5);
    log.close().unwrap();
    let name = name_with(&disk, ".log");
    let bytes = disk.read(&name).unwrap();
    for round in 1..=4 {
        let mut changed = bytes.clone();
        changed[..8_192].fill(round);
        disk.replace(&name, &changed);
        drop(options().open_or_create_on(disk.storage()).unwrap());
        let kept: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.starts_with("quarantine/")).collect();
        let firsts: BTreeSet<_> = kept.iter().map(|(name, _)| disk.read(name).unwrap()[0]).collect();
        assert_eq!(firsts, (1..=round).collect(), "{kept:?}");
    }
}

/// Where the bytes of the newest raw segment end.
fn end_of_data(disk: &SimDisk) -> usize {
    let bytes = disk.read(&name_with(disk, ".log")).unwrap();
    (bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1).next_multiple_of(8)
}
