//! What a path on the command line names: a log, or a store of streams.

use std::path::Path;

use annals::{
    Background, Error, Log, Matches, Options, Query, Reader, StoreMatches, StoreOptions, StoreReader, StreamName,
};

use crate::failure::{Failure, Result};
use crate::output::note;

/// Segments of a stream, where nothing else is said, in bytes: there are many of them.
const STREAM_SEGMENT_BYTES: u64 = 4 << 20;

/// The option that chooses streams.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StreamArgs {
    /// Of a store, only this stream; may be given several times
    #[arg(long = "stream", value_name = "NAME", value_parser = parse_stream)]
    streams: Vec<StreamName>,
}

/// A log, or streams of a store, open for reading.
pub(crate) enum Place {
    Log(Reader),
    Streams(StoreReader, Vec<StreamName>),
}

/// The records that a query finds in either.
pub(crate) enum Found {
    Log(Box<Matches>),
    Streams(StoreMatches),
}

/// Reads the name of a stream.
pub(crate) fn parse_stream(text: &str) -> Result<StreamName, String> {
    StreamName::new(text).map_err(|error| error.to_string())
}

/// The same options for the streams of a store.
pub(crate) fn stream_options(options: Options) -> Options {
    options.segment_bytes(STREAM_SEGMENT_BYTES)
}

impl StreamArgs {
    /// Opens what is at `path` for reading.
    pub(crate) fn open(&self, path: &Path) -> Result<Place> {
        Ok(match self.chosen(path)? {
            Some((reader, streams)) => Place::Streams(reader, streams),
            None => Place::Log(Reader::open(path)?),
        })
    }

    /// The store at `path` and the streams chosen of it; `None` if that may be a log.
    pub(crate) fn chosen(&self, path: &Path) -> Result<Option<(StoreReader, Vec<StreamName>)>> {
        let Some(reader) = self.store(path)? else { return Ok(None) };
        let streams = self.choose(reader.streams()?, &reader.path())?;
        Ok(Some((reader, streams)))
    }

    /// Lends each of the streams chosen of the store at `path`, open for writing, to `act`, in the order of their names; or the
    /// log that is there, which has no name.
    pub(crate) fn each_log(
        &self,
        path: &Path,
        options: Options,
        mut act: impl FnMut(Option<&StreamName>, &Log) -> Result<()>,
    ) -> Result<()> {
        let options = options.background(Background::Manual);
        if self.store(path)?.is_none() {
            // What is done in the background would get ahead of what is asked for here.
            let log = options.open(path)?;
            act(None, &log)?;
            return Ok(log.close()?);
        }
        let options = StoreOptions::new().streams(stream_options(options)).background(Background::Manual);
        let store = options.open(path)?;
        for name in self.choose(store.streams()?, &path.display().to_string())? {
            let mut outcome = Ok(());
            store.stream(name.as_str())?.with(|log| {
                outcome = act(Some(&name), log);
                Ok(())
            })?;
            outcome?;
        }
        Ok(store.close()?)
    }

    /// The store at `path`; `None` if that may be a log.
    fn store(&self, path: &Path) -> Result<Option<StoreReader>> {
        match StoreReader::open(path) {
            Ok(reader) => {
                allow_many_files();
                reader.damage().iter().for_each(|damage| note(format_args!("annals: warning: {damage}")));
                Ok(Some(reader))
            }
            Err(Error::NotAStore { .. }) if self.streams.is_empty() => Ok(None),
            Err(error @ Error::NotAStore { .. }) => Err(Failure::Usage(format!("--stream is for stores: {error}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Those of the streams `there` that were named, or all if none was.
    fn choose(&self, there: Vec<StreamName>, path: &str) -> Result<Vec<StreamName>> {
        if let Some(missing) = self.streams.iter().find(|name| !there.contains(name)) {
            return Err(Failure::Failed(format!(
                "{path} has no stream {missing}; `annals streams` lists those it has"
            )));
        }
        Ok(there.into_iter().filter(|name| self.streams.is_empty() || self.streams.contains(name)).collect())
    }
}

impl Place {
    /// The records that `query` asks for.
    pub(crate) fn query(&self, query: &Query) -> Result<Found> {
        Ok(match self {
            Self::Log(reader) => Found::Log(Box::new(reader.query(query)?)),
            Self::Streams(reader, streams) => Found::Streams(reader.query(streams, query)?),
        })
    }

    /// How many records there are to look at, at most.
    pub(crate) fn records_max(&self) -> u64 {
        match self {
            Self::Log(reader) => reader.end_seq().saturating_sub(reader.first_seq()),
            Self::Streams(..) => u64::MAX,
        }
    }
}

/// Lets this process open as many files as the system allows it: every stream has some.
pub(crate) fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where it can't be raised, opening files says so when there are too many.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}
