//! The figures of `docs/history.md`. Slow without optimisation, so only on request:
//! `cargo test --release --lib history::tests::figures -- --ignored --nocapture`.

use std::fmt::Write as _;
use std::io::Cursor;
use std::time::Instant;

use super::transfer::import_csv;
use super::*;

const ROUNDS: i64 = 14 * 8640;

/// xorshift: the figures must not differ from run to run.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn season(at: i64) -> f64 {
    let days = (at - START) as f64 / DAY as f64;
    let week = if (days as i64) % 7 < 5 { 1.0 } else { 0.6 };
    week * (1.0 + 0.4 * (days * std::f64::consts::TAU).sin())
}

type Kind = (&'static str, fn(i64, &mut Noise) -> f64);

/// What a `PostgreSQL` target's metrics look like, ten kinds of them.
const KINDS: [Kind; 10] = [
    ("connections, whole", |at, noise| (40.0 * season(at) + 3.0 * noise.normal()).round().max(0.0)),
    ("lock waiters, small whole", |at, noise| (-0.5 * season(at) * noise.uniform().max(1e-9).ln()).floor()),
    ("response time in ms, 10 % noise", |at, noise| 2.5 * season(at) * (0.1 * noise.normal()).exp()),
    ("p95 in ms, 2 decimals, 5 % noise", |at, noise| {
        (900.0 * season(at) * (0.05 * noise.normal()).exp()).round() / 100.0
    }),
    ("transactions/s, 5 % noise", |at, noise| {
        (8500.0 * season(at) * (1.0 + 0.05 * noise.normal())).round() / (10.0 + 0.002 * noise.normal())
    }),
    ("cache hit ratio in %", |at, noise| (99.6 - 0.2 * season(at) + 0.05 * noise.normal()).min(100.0)),
    ("database size in B", |at, noise| {
        8e9 + ((at - START) as f64 / 1e4).floor() * 4096.0 + (noise.uniform() * 0.01).floor()
    }),
    ("WAL bytes/s, 20 % noise", |at, noise| (3e6 * season(at) * (0.2 * noise.normal()).exp()).round()),
    ("deadlocks/s, nearly always 0", |_, noise| if noise.uniform() < 0.001 { 0.1 } else { 0.0 }),
    ("dead rows, whole, a saw", |at, noise| ((at / 40_000) as f64 % 50_000.0 + 300.0 * noise.normal()).round().abs()),
];

async fn bytes_of(metrics: &[Kind], jitter: bool) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let labels: Vec<String> = (0..metrics.len()).map(|index| format!("m{index}")).collect();
    let rounds = (0..ROUNDS).map(|index| {
        let at = START + index * STEP + if jitter { (3.0 * noise.normal()) as i64 } else { 0 };
        (at, metrics.iter().map(|(_, kind)| kind(at, &mut noise) as f32).collect())
    });
    store.import(&key("a"), &labels, rounds).await.unwrap();
    store.size().await.unwrap().bytes_per_sample().unwrap()
}

#[tokio::test]
#[ignore = "a measurement, for an optimised build"]
async fn bytes_per_sample() {
    for kind in KINDS {
        println!("{:40} {:.2} B/sample, alone in the file", kind.0, bytes_of(&[kind], false).await);
    }
    let twenty: Vec<Kind> = KINDS.iter().chain(&KINDS).copied().collect();
    println!("all, twenty metrics                      {:.2} B/sample", bytes_of(&twenty, false).await);
    println!("all, twenty metrics, instants with jitter {:.2} B/sample", bytes_of(&twenty, true).await);
}

#[tokio::test]
#[ignore = "a measurement, for an optimised build"]
async fn speeds() {
    let directory = tempfile::tempdir().unwrap();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let labels: Vec<String> = (0..20).map(|index| format!("m{index}")).collect();
    let mut text = format!("timestamp,{}\n", labels.join(","));
    for index in 0..ROUNDS {
        let at = START + index * STEP;
        write!(text, "{}", jiff::Timestamp::from_millisecond(at).unwrap()).unwrap();
        for (_, kind) in KINDS.iter().chain(&KINDS) {
            write!(text, ",{}", kind(at, &mut noise) as f32).unwrap();
        }
        text.push('\n');
    }
    let store = Store::open(file(&directory)).await.unwrap();
    let begin = Instant::now();
    let bytes = text.len();
    let imported = import_csv(Cursor::new(text.into_bytes()), "h.csv", &store, &key("a"), &labels).await.unwrap();
    println!("import of {} values ({} MB of CSV): {:?}", imported.samples, bytes >> 20, begin.elapsed());
    println!("{:.2} B/sample", store.size().await.unwrap().bytes_per_sample().unwrap());
    let begin = Instant::now();
    let one = store.read(&key("a"), "m4", START, START + 14 * DAY).await.unwrap();
    println!("read of one series of {} samples: {:?}", one.len(), begin.elapsed());
    let all: Vec<&str> = labels.iter().map(String::as_str).collect();
    let begin = Instant::now();
    let all = store.read_many(&key("a"), &all, START, START + 14 * DAY).await.unwrap();
    println!("read of all {} series: {:?}", all.len(), begin.elapsed());

    let live = store.target(&key("live"), &labels).await.unwrap();
    let mut slowest = std::time::Duration::ZERO;
    let begin = Instant::now();
    for index in 0..8640 {
        let at = START + index * STEP;
        let values: Vec<f32> = KINDS.iter().chain(&KINDS).map(|(_, kind)| kind(at, &mut noise) as f32).collect();
        let append = Instant::now();
        store.append(&live, at, &values).await.unwrap();
        slowest = slowest.max(append.elapsed());
    }
    println!("append: {:?} on average with sealing, at most {slowest:?}", begin.elapsed() / 8640);
    let begin = Instant::now();
    store.close().await;
    let store = Store::open(file(&directory)).await.unwrap();
    println!("close and open: {:?}", begin.elapsed());
    let live_only = directory.path().join("live.db");
    let store_live = Store::open(&live_only).await.unwrap();
    let series = store_live.target(&key("live"), &labels).await.unwrap();
    for index in 0..7 * 8640 {
        let at = START + index * STEP + (3.0 * noise.normal()) as i64;
        let values: Vec<f32> = KINDS.iter().chain(&KINDS).map(|(_, kind)| kind(at, &mut noise) as f32).collect();
        store_live.append(&series, at, &values).await.unwrap();
    }
    println!("live chunks of two hours: {:.2} B/sample", store_live.size().await.unwrap().bytes_per_sample().unwrap());
    drop(store);
}
