//! Databases without a fault, and with one: a load, and what follows from it. Five of a Baseline, of which the first is
//! the one that is judged.

use dbmedic::measure::{ABSENT, BUILT_IN, built_in};

use super::super::generate::{Random, START_MS};

/// Time between two rounds.
pub const STEP_MS: i64 = 60_000;
/// Rounds of a day.
pub const DAY: i64 = 1_440;
/// Databases of the Baseline: the judged one and its peers.
pub const DATABASES: usize = 5;
const GIB: f64 = 1_073_741_824.0;

/// How a database's load and noise are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Each minute by itself.
    Independent,
    /// A minute is like the one before: 0.9.
    Remembering,
    /// A day and a week, and a minute like the one before: 0.6.
    Seasonal,
    /// Response times with a long tail, counts of few.
    Rough,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Independent, Self::Remembering, Self::Seasonal, Self::Rough];

    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent minutes",
            Self::Remembering => "AR(1) 0.9",
            Self::Seasonal => "daily and weekly, AR(1) 0.6",
            Self::Rough => "long tails, few counts",
        }
    }

    fn alike(self) -> f64 {
        match self {
            Self::Independent | Self::Rough => 0.0,
            Self::Remembering => 0.9,
            Self::Seasonal => 0.6,
        }
    }
}

/// What goes wrong in the judged database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Responses take six standard deviations longer.
    Slower,
    /// Responses take half a standard deviation longer each hour.
    Rising,
    /// Responses take 8 % of the usual longer each day.
    Worse,
    /// Connections move against the load instead of with it, within their range.
    Unbound,
    /// Deletes are twenty times as many.
    Deletes,
    /// The disk fills by 4 GiB a day.
    Filling,
}

/// Several databases, minute by minute.
pub struct World {
    kind: Kind,
    random: Random,
    minute: i64,
    /// Slow parts of each database: load, response time, connections.
    slow: [[f64; 3]; DATABASES],
    fault: Option<(Fault, i64)>,
}

impl World {
    pub fn new(kind: Kind, seed: u64, fault: Option<(Fault, i64)>) -> Self {
        Self { kind, random: Random::new(seed), minute: 0, slow: [[0.0; 3]; DATABASES], fault }
    }

    /// Time and values of the next round of every database, in the order of the built-in metrics.
    pub fn next(&mut self) -> (i64, [Vec<f32>; DATABASES]) {
        let at = START_MS + self.minute * STEP_MS;
        let values = std::array::from_fn(|database| self.round(database));
        self.minute += 1;
        (at, values)
    }

    /// Minutes since the fault began, when this is the database that has it.
    fn since(&self, database: usize, fault: Fault) -> Option<f64> {
        let (of, begin) = self.fault?;
        (database == 0 && of == fault && self.minute >= begin).then(|| (self.minute - begin) as f64)
    }

    fn season(&self) -> f64 {
        if self.kind != Kind::Seasonal {
            return 1.0;
        }
        let day = 1.0 + 0.5 * ((self.minute as f64 / DAY as f64 - 0.3) * std::f64::consts::TAU).sin();
        if (self.minute / DAY) % 7 >= 5 { 0.6 * day } else { day }
    }

    fn round(&mut self, database: usize) -> Vec<f32> {
        let alike = self.kind.alike();
        for slow in &mut self.slow[database] {
            *slow = alike * *slow + (1.0 - alike * alike).sqrt() * self.random.normal();
        }
        let [load, response, connections] = self.slow[database];
        let mut values = vec![ABSENT; BUILT_IN.len()];
        let mut put = |name: &str, value: f64| {
            if let Some(metric) = built_in(name) {
                values[metric] = value.max(0.0) as f32;
            }
        };
        // Databases of a Baseline are not equally busy.
        let busy = 1.0 + 0.3 * database as f64;
        let throughput = 100.0 * busy * self.season() * (0.1 * load).exp();
        put("throughput", throughput);
        let bound = if self.since(database, Fault::Unbound).is_some() { -0.1 * load } else { 0.1 * load };
        put("connection_count", (40.0 * busy * self.season() * (bound + 0.02 * connections).exp()).round());
        put("response_time", self.response_time(database, response));
        let deleted = if self.since(database, Fault::Deletes).is_some() { 20.0 } else { 1.0 };
        for (name, share) in [("select_rate", 0.7), ("insert_rate", 0.15), ("update_rate", 0.1), ("other_rate", 0.02)] {
            let wander = (0.1 * self.random.normal()).exp();
            put(name, throughput * share * wander);
        }
        put("delete_rate", throughput * 0.03 * deleted * (0.1 * self.random.normal()).exp());
        let filled = self.since(database, Fault::Filling).map_or(0.0, |minutes| 4.0 * minutes / DAY as f64);
        put("disk_usage", (50.0 + 0.05 * connections + filled) * GIB);
        let waiting = if self.kind == Kind::Rough { 0.05 } else { 0.5 };
        put("lock_waits", f64::from(u8::from(self.random.happens(waiting))));
        values
    }

    fn response_time(&self, database: usize, slow: f64) -> f64 {
        let level = 20.0 + if self.kind == Kind::Seasonal { 5.0 * self.season() } else { 0.0 };
        let spread = 2.0;
        let noise = if self.kind == Kind::Rough { (0.5 * slow).exp() * 4.0 - 4.0 } else { spread * slow };
        let slower = self.since(database, Fault::Slower).map_or(0.0, |_| 6.0 * spread);
        let rising = self.since(database, Fault::Rising).map_or(0.0, |minutes| 0.5 * spread * minutes / 60.0);
        let worse = self.since(database, Fault::Worse).map_or(0.0, |minutes| 0.08 * level * minutes / DAY as f64);
        level + noise + slower + rising + worse
    }
}
