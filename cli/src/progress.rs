//! Progress bars: on stderr, and only where a person sees them.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts bytes up to `total`, or a spinner where the total isn't known. Draws nothing unless stderr is a
/// terminal.
pub(crate) fn bytes_bar(verb: &'static str, total: Option<u64>) -> ProgressBar {
    let (known, unknown) = ("{bytes}/{total_bytes} {bytes_per_sec} eta {eta}", "{bytes} {bytes_per_sec}");
    bar(verb, total, if total.is_some() { known } else { unknown })
}

/// A bar that counts records up to `total`.
pub(crate) fn records_bar(verb: &'static str, total: u64) -> ProgressBar {
    bar(verb, Some(total), "{human_pos}/{human_len} records eta {eta}")
}

fn bar(verb: &str, total: Option<u64>, numbers: &str) -> ProgressBar {
    let bar = if stderr().is_terminal() {
        ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    let colour = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) { "" } else { ".cyan" };
    let template = match total {
        Some(_) => format!("{verb} {{bar:30{colour}}} {numbers}"),
        None => format!("{verb} {{spinner}} {numbers}"),
    };
    // The template is a constant but for its colour: were it ever wrong, indicatif's default bar does as well.
    match ProgressStyle::with_template(&template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
