//! `annals seal`: compress now what would be sealed later.

use annals::{Background, SealReport};

use crate::args::{LogArg, PresetArg};
use crate::commands::append::tell_recovery;
use crate::condition::IndexArgs;
use crate::failure::Result;
use crate::output::{OutputArgs, bytes, plural, report};

/// Seal everything appended so far: compress it, hash it and make it immutable.
///
/// Full segments are sealed anyway while a log is appended to; this does the rest now. It needs the log's lock, so no
/// other process can be appending meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    #[command(flatten)]
    preset: PresetArg,

    #[command(flatten)]
    index: IndexArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // Sealing in the background would get ahead of the call that reports it.
    let log = args.index.apply(args.preset.options().background(Background::Manual)).open(&args.log.log)?;
    tell_recovery(&log);
    let sealed = log.seal()?;
    log.close()?;
    report(args.output.format(), &sealed, || table(&sealed))
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
