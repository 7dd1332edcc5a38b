//! Repairing damaged logs: nothing that can be read is lost, what can't be is a gap, and the log goes on.

mod mending;

use annals::storage::sim::{Fault, Loss};
use annals::{Error, Reader, Repair, ScanRange};
use mending::{Fixture, disk_of, options, repair};
use std::collections::BTreeSet;

/// Changes the byte at `at` of `name`.
fn flipped(fixture: &Fixture, name: &str, at: usize) -> mending::Files {
    let mut bytes = fixture.file(name).clone();
    bytes[at] ^= 0x10;
    fixture.with(name, Some(bytes))
}

#[test]
fn a_sound_log_needs_no_repair() {
    let fixture = Fixture::new();
    let (_, report, left) = repair(&fixture.files, &fixture.records, "as it is");
    assert!(report.is_needless() && report.gaps.is_empty(), "{report:?}");
    assert_eq!((left.found.len(), left.missing.len(), left.unproven), (fixture.records.len(), 0, 0));
}

#[test]
fn a_block_that_is_lost_leaves_a_gap_and_the_tree_as_it_was() {
    let fixture = Fixture::new();
    let root = |files: &mending::Files| {
        Reader::open_on(disk_of(files, 1).storage()).unwrap().verify(&mut |_| ()).unwrap().root
    };
    let before = root(&fixture.files).unwrap();
    for name in fixture.names(".seg") {
        let (disk, report, left) = repair(&flipped(&fixture, &name, 300), &fixture.records, &name);
        assert_eq!(report.replaced.len(), 1, "{report:?}");
        assert!(!left.missing.is_empty() && left.unproven > 0, "{name}: {left:?}");
        assert_eq!(report.gaps[0].kept, [format!("quarantine/{name}.from-0")]);
        assert_eq!(report.gaps[0].kept, report.replaced[0].kept);
        assert!(disk.read(&name).is_none(), "the damaged file is gone, and its copy is kept");
        // What was sealed keeps its place in the tree; the raw segments are not touched.
        assert_eq!(root(&mending::files(&disk)), Some(before.clone()), "{name}");
    }
}

#[test]
fn every_damage_of_one_byte_costs_its_frame_or_block_at_most() {
    let fixture = Fixture::new();
    for (name, bytes) in &fixture.files {
        if name.ends_with(".idx") {
            continue;
        }
        let mut random = mending::Random(1);
        let ends = [0, 60, 127, 130, 300, 4_100];
        let ends = ends.into_iter().chain([1, 30, 140, 700].map(|before| bytes.len().saturating_sub(before)));
        let inside = std::iter::repeat_with(|| random.below(bytes.len() as u64) as usize).take(12);
        for at in ends.chain(inside).filter(|at| *at < bytes.len()) {
            let context = format!("{name}, byte {at}");
            let (_, _, left) = repair(&flipped(&fixture, name, at), &fixture.records, &context);
            let group = left.missing.last().map_or(0, |last| last - left.missing.first().unwrap() + 1);
            assert!(group <= 350, "{context}: {:?}", left.missing);
            if at < 128 || name == "identity" {
                assert!(left.missing.is_empty() && left.found.len() == fixture.records.len(), "{context}");
            }
        }
    }
}

#[test]
fn a_damaged_batch_costs_the_records_that_were_hit_and_no_others() {
    let fixture = Fixture::batch();
    let name = &fixture.names(".log")[0];
    let bytes = fixture.file(name);
    // The entries of the batch: each begins with its checksum and its length (docs/format.md, "Entry").
    let frame = (8_200..).step_by(8).find(|&at| bytes[at..].starts_with(b"aFrm")).unwrap();
    let mut entries = vec![frame + 72];
    while entries.len() < 41 {
        let at = entries[entries.len() - 1];
        entries.push(at + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize);
    }
    let missing_after = |what: &str, from: usize, to: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[from..to].iter_mut().for_each(|byte| *byte ^= value);
        let (_, report, left) = repair(&fixture.with(name, Some(changed)), &fixture.records, what);
        assert_eq!(left.found.len() + left.missing.len(), 41, "{what}: {report:?}");
        left.missing.into_iter().collect::<Vec<_>>()
    };
    // The record before the batch is 0; entry n is that of record n + 1.
    assert_eq!(missing_after("a body", entries[9] + 50, entries[9] + 51, 1), [10]);
    assert_eq!(missing_after("a checksum", entries[0], entries[0] + 1, 1), [1]);
    assert_eq!(missing_after("a length", entries[20] + 4, entries[20] + 5, 1), [21]);
    assert_eq!(missing_after("a length far beyond", entries[20] + 6, entries[20] + 8, 0xff), [21]);
    assert_eq!(missing_after("the last", entries[39] + 30, entries[39] + 31, 4), [40]);
    assert_eq!(missing_after("three of them", entries[5] + 9, entries[7] + 9, 0x5a), [6, 7, 8]);
    // Without a header, the frames around the batch tell what it held.
    assert_eq!(missing_after("the header of the batch", frame, frame + 72, 0xff), []);
    assert_eq!(missing_after("the header and the first", frame + 60, frame + 110, 0xff), [1]);
}

#[test]
fn a_file_that_is_gone_leaves_a_gap_where_its_records_were() {
    let fixture = Fixture::new();
    let mut files = fixture.names(".seg");
    files.extend(fixture.names(".log"));
    for (index, name) in files.iter().enumerate() {
        let (disk, report, left) = repair(&fixture.with(name, None), &fixture.records, &format!("without {name}"));
        if name.ends_with(".seg") {
            assert!(report.replaced.iter().all(|replaced| replaced.files.is_empty()), "{report:?}");
            let others = files.iter().filter(|other| *other != name);
            assert!(others.into_iter().all(|other| disk.read(other).is_some()), "nothing else is touched");
        }
        let base: u64 = name[..20].parse().unwrap();
        let end = files.get(index + 1).map_or(base, |next| next[..20].parse().unwrap());
        assert_eq!(left.missing, (base..end).collect::<BTreeSet<_>>(), "without {name}");
    }
}

#[test]
fn the_identity_is_made_again_from_the_segments() {
    let fixture = Fixture::new();
    for identity in [None, Some(vec![]), Some(vec![7; 256]), Some(fixture.file("identity")[..100].to_vec())] {
        let context = format!("identity of {:?} bytes", identity.as_ref().map(Vec::len));
        let files = fixture.with("identity", identity);
        let reader = Reader::open_on(disk_of(&files, 3).storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(!reader.verify(&mut |_| ()).unwrap().is_sound(), "{context}: it is damage all the same");
        let (_, report, left) = repair(&files, &fixture.records, &context);
        assert_eq!((left.found.len(), left.missing.len()), (fixture.records.len(), 0), "{context}");
        assert_eq!(report.replaced[0].files, ["identity"]);
    }
}

#[test]
fn an_identity_of_another_log_is_not_believed_against_all_segments() {
    let fixture = Fixture::new();
    let other = mending::Random(9).next();
    let disk = annals::storage::sim::SimDisk::new(other);
    drop(options().open_or_create_on(disk.storage()).unwrap());
    let files = fixture.with("identity", disk.read("identity"));
    let (_, _, left) = repair(&files, &fixture.records, "another log's identity");
    assert_eq!((left.found.len(), left.missing.len()), (fixture.records.len(), 0));
}

#[test]
fn without_anything_that_tells_its_id_there_is_no_log_to_repair() {
    let disk = annals::storage::sim::SimDisk::new(1);
    assert!(matches!(Repair::apply().run_on(disk.storage()), Err(Error::NotALog { .. })));
    disk.replace("identity", &[0; 256]);
    assert!(matches!(Repair::apply().run_on(disk.storage()), Err(Error::Damaged(_))));
    assert_eq!(disk.files().len(), 1, "not even a lock is left behind");
}

#[test]
fn a_raw_segment_without_either_header_is_read_by_its_frames() {
    let fixture = Fixture::new();
    let raws = fixture.names(".log");
    let mut bytes = fixture.file(&raws[0]).clone();
    bytes[..8_192].fill(0xee);
    let (_, report, left) = repair(&fixture.with(&raws[0], Some(bytes)), &fixture.records, "closed raw segment");
    assert_eq!((left.found.len(), left.missing.len()), (fixture.records.len(), 0), "{report:?}");
}

#[test]
fn a_log_that_is_open_is_not_repaired() {
    let fixture = Fixture::new();
    let disk = disk_of(&fixture.files, 1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    assert!(matches!(Repair::apply().run_on(disk.storage()), Err(Error::Locked { .. })));
    assert!(Repair::dry_run().run_on(disk.storage()).unwrap().is_needless());
    drop(log);
}

#[test]
fn what_is_missing_between_raw_segments_is_sealed_away_as_a_gap() {
    let fixture = Fixture::new();
    let raws = fixture.names(".log");
    let (first, last) = (fixture.file(&raws[0]).clone(), fixture.file(&raws[1]).clone());
    for (name, bytes) in [(&raws[0], &first), (&raws[1], &last)] {
        let mut bytes = bytes.clone();
        // The body of the first record.
        bytes[8_192 + 72 + 30] ^= 1;
        let base: u64 = name[..20].parse().unwrap();
        let (disk, report, left) = repair(&fixture.with(name, Some(bytes)), &fixture.records, name);
        assert_eq!(left.missing, BTreeSet::from([base]), "{name}");
        assert_eq!(left.unproven, 0, "the tree was never built over the lost record");
        assert!(disk.read(name).is_none() && disk.read(&raws[0]).is_none(), "{report:?}");
    }
}

#[test]
fn repairs_follow_each_other_and_keep_the_gaps_of_those_before() {
    let fixture = Fixture::new();
    let middle = fixture.names(".seg")[1].clone();
    let (disk, first, left) =
        repair(&flipped(&fixture, &middle, fixture.file(&middle).len() / 3), &fixture.records, "first");
    let replaced = first.replaced[0].by.clone().unwrap();
    let mut files = mending::files(&disk);
    let bytes = &mut files.iter_mut().find(|(name, _)| *name == replaced).unwrap().1;
    let at = bytes.len() * 2 / 3;
    bytes[at] ^= 4;
    let (disk, second, again) = repair(&files, &fixture.records, "second");
    assert!(left.missing.is_subset(&again.missing) && left.missing != again.missing, "{left:?} {again:?}");
    assert!(second.gaps.iter().any(|gap| first.gaps.contains(gap)), "older gaps stay as they were");
    let scanned = Reader::open_on(disk.storage()).unwrap().scan(ScanRange::all().seqs(..10)).unwrap();
    assert!(scanned.gaps().is_empty(), "none there");
}

#[test]
fn an_index_that_is_damaged_or_missing_is_made_again() {
    let fixture = Fixture::new();
    for name in fixture.names(".idx") {
        let mut bytes = fixture.file(&name).clone();
        bytes[140] ^= 1;
        for change in [None, Some(bytes)] {
            let (disk, report, _) = repair(&fixture.with(&name, change), &fixture.records, &name);
            assert_eq!((report.indexes, report.replaced.len()), (vec![name.clone()], 0));
            assert!(disk.read(&name).is_some());
        }
    }
}

/// Damages up to four places of a log at once: files taken away, cut, zeroed in part, changed.
fn damage_at_random(fixture: &Fixture, random: &mut mending::Random) -> (mending::Files, String) {
    let mut files = fixture.files.clone();
    let mut told = Vec::new();
    for _ in 0..1 + random.below(4) {
        let (index, count) = (random.below(files.len().max(1) as u64) as usize, files.len());
        let (name, bytes) = &mut files[index];
        let at = random.below(bytes.len().max(1) as u64) as usize;
        let len = (1 + random.below(9_000) as usize).min(bytes.len() - at.min(bytes.len()));
        match random.below(8) {
            0 if count > 3 => {
                told.push(format!("{} gone", files.remove(index).0));
                continue;
            }
            1 => {
                told.push(format!("{name} cut to {at}"));
                bytes.truncate(at);
            }
            2 => {
                told.push(format!("{name} zero from {at} for {len}"));
                bytes[at..at + len].fill(0);
            }
            3 => {
                told.push(format!("{name} noise from {at} for {len}"));
                bytes[at..at + len].iter_mut().for_each(|byte| *byte = random.next() as u8);
            }
            _ if !bytes.is_empty() => {
                told.push(format!("{name} byte {at}"));
                bytes[at] ^= 1 << random.below(8);
            }
            _ => {}
        }
    }
    (files, told.join(", "))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `ANNALS_CASES` cases from `ANNALS_SEED` on; a failure names the seed of its case, to be run by itself.
#[test]
fn any_damage_is_repaired() {
    let fixture = Fixture::new();
    let (cases, seed) = (number("ANNALS_CASES", 150), number("ANNALS_SEED", 42));
    for case in seed..seed + cases {
        let (files, told) = damage_at_random(&fixture, &mut mending::Random(case));
        let replay =
            format!("ANNALS_SEED={case} ANNALS_CASES=1 cargo test -p annals --test repair any_damage # {told}");
        let told_by_someone =
            files.iter().any(|(name, _)| name.ends_with(".log") || name.ends_with(".seg") || name == "identity");
        if !told_by_someone || Reader::open_on(disk_of(&files, 1).storage()).is_err() {
            let refused = Repair::apply().run_on(disk_of(&files, 1).storage());
            assert!(matches!(refused, Err(Error::Damaged(_) | Error::NotALog { .. })), "{replay}");
            continue;
        }
        repair(&files, &fixture.records, &replay);
    }
    println!("trust: repair of random damage: {cases} logs, 0 failures, seed {seed}");
}

/// A repair that is cut off at every call, with every way of losing what was not synced, and begun again.
#[test]
fn a_crash_during_a_repair_changes_nothing_about_its_outcome() {
    let fixture = Fixture::new();
    let (sealed, raws) = (fixture.names(".seg"), fixture.names(".log"));
    let mut headerless = fixture.file(&raws[0]).clone();
    headerless[..8_192].fill(9);
    let mut several = flipped(&fixture, &sealed[1], 700);
    several.retain(|(name, _)| *name != sealed[0]);
    several.iter_mut().find(|(name, _)| *name == raws[0]).unwrap().1[8_300] ^= 1;
    let damaged = [
        flipped(&fixture, &sealed[1], 700),
        flipped(&fixture, &raws[0], 8_300),
        fixture.with(&raws[0], Some(headerless)),
        fixture.with(&sealed[2], None),
        fixture.with("identity", Some(vec![0; 256])),
        several,
    ];
    let (step, mut crashes) = (number("ANNALS_STRIDE", 3), 0);
    for (number, files) in damaged.iter().enumerate() {
        let (_, _, expected) = repair(files, &fixture.records, &format!("damage {number}"));
        let whole = disk_of(files, 79);
        let report = Repair::apply().run_on(whole.storage()).unwrap();
        let kept: Vec<String> = report.replaced.into_iter().flat_map(|replaced| replaced.kept).collect();
        for call in (0..whole.calls()).step_by(step as usize) {
            let disk = disk_of(files, 79);
            let begun = disk.calls();
            disk.fail_at(begun + call, Fault::Stop, true);
            if Repair::apply().run_on(disk.storage()).is_ok() {
                break;
            }
            for loss in Loss::ALL {
                let replay = "ANNALS_STRIDE=1 cargo test -p annals --test repair a_crash";
                let context = format!("{replay} # damage {number}, stop at call {call}, {loss:?}");
                let after = disk.crash(loss, call);
                let report = Repair::apply().run_on(after.storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
                assert!(report.is_sound(), "{context}: {report:?}");
                let left = mending::check(&after, &fixture.records, &context);
                assert!(left == expected, "{context}: {left:?} instead of {expected:?}");
                for kept in &kept {
                    let copied = whole.read(kept).unwrap();
                    let is_there = mending::files(&after)
                        .iter()
                        .any(|(name, bytes)| name.starts_with("quarantine/") && *bytes == copied);
                    assert!(is_there, "{context}: no copy of what is in {kept}");
                }
                crashes += 1;
            }
        }
    }
    println!("trust: crashes during repair: {crashes} images, 0 failures, seed 79");
}

/// The copy that a killed repair has made is durable before another one removes what it is of.
#[test]
fn a_repair_that_follows_a_killed_one_keeps_the_bytes_too() {
    let fixture = Fixture::new();
    let name = &fixture.names(".seg")[1];
    let files = flipped(&fixture, name, 700);
    let damaged = &files.iter().find(|(file, _)| file == name).unwrap().1;
    let whole = disk_of(&files, 79);
    Repair::apply().run_on(whole.storage()).unwrap();
    for call in 0..whole.calls() {
        let killed = disk_of(&files, 79);
        killed.fail_at(killed.calls() + call, Fault::Stop, true);
        let _ = Repair::apply().run_on(killed.storage());
        for second in 0..16 {
            let disk = killed.copy();
            disk.restart();
            disk.fail_at(disk.calls() + second, Fault::Stop, true);
            let _ = Repair::apply().run_on(disk.storage());
            for loss in [Loss::Everything, Loss::Suffix, Loss::Subset] {
                let left = mending::files(&disk.crash(loss, call));
                let is_there = left.iter().any(|(_, bytes)| bytes == damaged);
                assert!(is_there, "killed at call {call}, stopped at call {second} of the next one, {loss:?}");
            }
        }
    }
}

#[test]
fn a_single_segment_of_another_log_is_a_stranger_and_not_the_log() {
    let make = |seed| {
        let disk = annals::storage::sim::SimDisk::new(seed);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        mending::append(&log, 20, 100);
        log.close().unwrap();
        mending::files(&disk)
    };
    let (ours, theirs) = (make(3), make(4));
    let raw = theirs.iter().find(|(name, _)| name.ends_with(".log")).unwrap().clone();
    let files: mending::Files =
        ours.into_iter().filter(|(name, _)| !name.ends_with(".log")).chain([raw.clone()]).collect();
    let disk = disk_of(&files, 5);
    Repair::apply().run_on(disk.storage()).unwrap();
    let scan = Reader::open_on(disk.storage()).unwrap().scan(ScanRange::all()).unwrap();
    assert_eq!(scan.count(), 0, "none of them was ever appended to this log");
    assert!(mending::files(&disk).iter().any(|(name, bytes)| name.starts_with("quarantine/") && *bytes == raw.1));
}
