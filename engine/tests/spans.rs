//! The spans of opening, recovering, sealing and retention, with their fields.
#![cfg(feature = "tracing")]

use annals::storage::sim::SimDisk;
use annals::{Background, Error, Log, Options, RetentionPolicy};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<&'static str, String>;

/// Keeps all spans, in the order in which they began.
#[derive(Debug, Default, Clone)]
struct Book(Arc<Mutex<Vec<(&'static str, Fields)>>>);

struct Notes<'a>(&'a mut Fields);

impl Visit for Notes<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Book {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        span.record(&mut Notes(&mut fields));
        let mut spans = self.0.lock().unwrap();
        spans.push((span.metadata().name(), fields));
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Notes(&mut self.0.lock().unwrap()[span.into_u64() as usize - 1].1));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        panic!("no events are told: {event:?}");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Book {
    /// The spans since the last look.
    fn take(&self) -> Vec<(&'static str, Fields)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn open(disk: &SimDisk) -> Result<Log, Error> {
    Options::new().background(Background::Manual).open_or_create_on(disk.storage())
}

/// What the fields of these names are, one after the other.
fn of(fields: &Fields, names: &[&str]) -> String {
    names.iter().map(|name| fields.get(name).map_or("-", String::as_str)).collect::<Vec<_>>().join(" ")
}

#[test]
fn steps_that_take_a_while_are_spans() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_default(book.clone(), || {
        let log = open(&disk).unwrap();
        let spans = book.take();
        assert_eq!(spans.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["annals.open", "annals.recover"]);
        assert!(spans.iter().all(|(_, fields)| fields["log"] == disk.storage().describe("")), "{spans:?}");
        assert_eq!(of(&spans[1].1, &["clean", "next_seq", "damages", "dropped_bytes", "error"]), "true 0 0 0 -");

        for n in 0..3 {
            log.append(&BTreeMap::from([("n", n)])).unwrap();
        }
        assert_eq!(book.take(), [], "an append is none");
        let sealed = log.seal().unwrap();
        let spans = book.take();
        assert_eq!((spans.len(), spans[0].0), (1, "annals.seal"));
        let told = of(&spans[0].1, &["first_seq", "end_seq", "raw_bytes", "sealed_bytes", "error"]);
        assert_eq!(told, format!("0 3 {} {} -", sealed.raw_bytes, sealed.sealed_bytes));

        log.retain(&RetentionPolicy::new().max_records(0)).unwrap();
        let spans = book.take();
        assert_eq!((spans.len(), spans[0].0), (1, "annals.retain"));
        assert_eq!(of(&spans[0].1, &["dry_run", "first_seq", "records", "segments", "error"]), "false 3 3 1 -");

        let locked = open(&disk).unwrap_err();
        let spans = book.take();
        assert_eq!((spans.len(), spans[0].0), (1, "annals.open"));
        assert_eq!(spans[0].1["error"], locked.to_string());
    });
}
