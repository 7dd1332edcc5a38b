//! Synthetic audit events from a seed: the same events on every machine.

use serde::{Deserialize, Serialize};

/// A random number generator (SplitMix64) that gives the same numbers everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator whose numbers follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Roughly normal: the sum of twelve uniform numbers.
    fn gaussian(&mut self, mean: f64, deviation: f64) -> f64 {
        mean + deviation * ((0..12).map(|_| self.unit()).sum::<f64>() - 6.0)
    }
}

/// What happened besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// How often it was tried.
    pub attempt: u64,
    /// Where.
    pub region: String,
    /// What was changed.
    pub changed: Vec<String>,
}

/// One audit event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// µs since the Unix epoch.
    pub timestamp: i64,
    /// Unique.
    pub request_id: String,
    /// One of 20, the first by far the most frequent.
    pub event_type: String,
    /// One of 4.
    pub status: String,
    /// One of about 5,000.
    pub actor: String,
    /// An IPv4 address.
    pub source_ip: String,
    /// One of about 50.
    pub workflow: String,
    /// 64 hex digits.
    pub input_hash: String,
    /// Around 120 ms.
    pub latency_ms: f64,
    /// What happened besides.
    pub details: Details,
    /// For people.
    pub message: String,
}

/// Makes events one after the other.
#[derive(Debug, Clone)]
pub struct Events {
    random: Random,
    timestamp: i64,
}

const STATUSES: [&str; 4] = ["success", "failure", "denied", "timeout"];
const REGIONS: [&str; 5] = ["eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-south-1"];
const FIELDS: [&str; 6] = ["owner", "limit", "state", "labels", "expiry", "policy"];

impl Events {
    /// Events that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), timestamp: 1_760_000_000_000_000 }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let random = &mut self.random;
        self.timestamp += random.below(2_000) as i64;
        // Zipf-like: rank r about 1/r as often as rank 1.
        let rank = (20f64.powf(random.unit()) as u64).clamp(1, 20);
        let status = STATUSES[[0, 0, 0, 0, 0, 0, 0, 1, 2, 3][random.below(10) as usize]];
        let actor = random.below(5_000);
        let hex = |random: &mut Random, words: usize| -> String {
            (0..words).map(|_| format!("{:016x}", random.next_u64())).collect()
        };
        let changed = (0..random.below(3)).map(|_| FIELDS[random.below(6) as usize].to_owned()).collect();
        Some(Event {
            timestamp: self.timestamp,
            request_id: format!("req-{}", hex(random, 2)),
            event_type: format!("audit.event.type_{rank:02}"),
            status: status.to_owned(),
            actor: format!("user{actor:04}@example.com"),
            source_ip: format!("10.{}.{}.{}", random.below(8), random.below(256), random.below(256)),
            workflow: format!("workflow-{:02}", random.below(50)),
            input_hash: hex(random, 4),
            latency_ms: (random.gaussian(120.0, 30.0) * 1_000.0).round() / 1_000.0,
            details: Details {
                attempt: 1 + random.below(3),
                region: REGIONS[random.below(5) as usize].to_owned(),
                changed,
            },
            message: format!("user{actor:04} finished type_{rank:02} with {status}"),
        })
    }
}
