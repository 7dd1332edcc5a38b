//! `annals seal`: compress now what would be sealed later.

use annals::SealReport;

use crate::args::{PlaceArg, PresetArg};
use crate::commands::append::tell_recovery;
use crate::condition::IndexArgs;
use crate::failure::Result;
use crate::output::{OutputArgs, bytes, plural};
use crate::per_stream::print_done;
use crate::place::StreamArgs;

/// Seal everything appended so far to a log, or to each stream of a store: compress it, hash it and make it immutable.
///
/// Full segments are sealed anyway while a log is appended to; this does the rest now. It needs the log's lock, so no
/// other process can be appending meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    #[command(flatten)]
    preset: PresetArg,

    #[command(flatten)]
    index: IndexArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut done = Vec::new();
    let options = args.index.apply(args.preset.options());
    let outcome = args.streams.each_log(&args.place.path, options, |name, log| {
        tell_recovery(log.recovery());
        done.push((name.cloned(), log.seal()?));
        Ok(())
    });
    print_done(args.output.format(), &args.place.path, done, outcome, table)
}

fn table(sealed: &SealReport) -> String {
    if sealed.segments == 0 {
        return "nothing was left to seal".to_owned();
    }
    let ratio = sealed.raw_bytes as f64 / sealed.sealed_bytes.max(1) as f64;
    format!(
        "sealed {} in {}: {} became {} ({ratio:.1} times smaller)",
        plural(sealed.records, "record"),
        plural(sealed.segments, "segment"),
        bytes(sealed.raw_bytes),
        bytes(sealed.sealed_bytes),
    )
}
