//! `ndjson_to_parquet [--json] [--rows-per-file N] [--type PATH=TYPE]… INPUT OUTPUT`: NDJSON (a file, or `-`) to one Parquet file, or to
//! a dataset if rows per file are given. `_seq` is the number of the line, from 0. Prints the report as JSON.

use annals::shape::Shape;
use annals_export::{DatasetSink, ExportOptions, FileSink, Plan, RecordSink, copy};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write, stdin};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut options, mut paths, mut dataset) = (ExportOptions::default(), Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.with_json = true,
            "--rows-per-file" => {
                options.file_rows = arguments.next().ok_or("--rows-per-file needs a number")?.parse()?;
                dataset = true;
            }
            "--type" => {
                let given = arguments.next().ok_or("--type needs PATH=TYPE")?;
                let (path, name) = given.rsplit_once('=').ok_or("--type needs PATH=TYPE")?;
                options.columns.push((path.to_owned(), name.parse()?));
            }
            _ => paths.push(argument),
        }
    }
    let [input, output] = &paths[..] else { return Err("give an input and an output".into()) };

    // The bodies wait in a spool file, as they would in a log.
    let spool_path = format!("{output}.spool");
    let mut spool = File::options().read(true).write(true).create(true).truncate(true).open(&spool_path)?;
    std::fs::remove_file(&spool_path)?;
    let shape = match input.as_str() {
        "-" => fill(&mut spool, stdin().lock())?,
        path => fill(&mut spool, BufReader::new(File::open(path)?))?,
    };

    let plan = Plan::new(&shape, &options)?;
    let path = Path::new(output);
    let report = if dataset {
        let mut sink = DatasetSink::create(path, &plan, &options, &[])?;
        drain(&mut spool, shape.records(), &mut sink)?;
        serde_json::to_string_pretty(&sink.finish()?)?
    } else {
        let mut sink = FileSink::create(path, &plan, &options, &[])?;
        drain(&mut spool, shape.records(), &mut sink)?;
        serde_json::to_string_pretty(&sink.finish()?)?
    };
    println!("{report}");
    Ok(())
}

fn fill(spool: &mut File, mut lines: impl BufRead) -> Result<Shape, Box<dyn Error>> {
    let (mut shape, mut line, mut body) = (Shape::new(), Vec::new(), Vec::new());
    let mut spool = BufWriter::with_capacity(1 << 20, spool);
    let mut observing = std::time::Duration::ZERO;
    while lines.read_until(b'\n', &mut line)? > 0 {
        body.clear();
        annals::json::to_msgpack(&line, &mut body)?;
        let start = std::time::Instant::now();
        shape.observe(&body)?;
        observing += start.elapsed();
        spool.write_all(&u32::try_from(body.len())?.to_le_bytes())?;
        spool.write_all(&body)?;
        line.clear();
    }
    spool.flush()?;
    let mut encoded = Vec::new();
    shape.encode(&mut encoded);
    eprintln!(
        "shape: {:.0} ns a record, {} bytes encoded",
        observing.as_nanos() as f64 / shape.records().max(1) as f64,
        encoded.len()
    );
    Ok(shape)
}

fn drain(spool: &mut File, records: u64, sink: &mut impl RecordSink) -> Result<(), Box<dyn Error>> {
    spool.rewind()?;
    let mut spool = BufReader::with_capacity(1 << 20, spool);
    let start = std::time::Instant::now();
    let bodies = (0..records).map(|seq| {
        let mut len = [0; 4];
        spool.read_exact(&mut len)?;
        let mut body = vec![0; u32::from_le_bytes(len) as usize];
        spool.read_exact(&mut body)?;
        Ok::<_, std::io::Error>((seq, i64::try_from(seq).unwrap_or(i64::MAX), body))
    });
    copy(bodies, sink)?;
    eprintln!("written: {:.2} s, less the last row group", start.elapsed().as_secs_f64());
    Ok(())
}
