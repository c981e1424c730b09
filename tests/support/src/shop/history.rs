//! The history that a shop begins with.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use super::{POD, Shop};

impl Shop {
    /// Writes a history in which `response_time` is about `centre` ms with a daily and weekly season, and imports it.
    ///
    /// # Errors
    /// The import fails.
    pub async fn import_history(&self, centre: f64) -> Result<String> {
        let path = self.scratch.path().join("history.csv");
        std::fs::write(&path, history_csv(centre, self.options.history_days, self.options.history_step))?;
        self.import(&path, POD, &[]).await
    }

    /// Imports a CSV file as the history of a pod of this shop, with these metrics of the Baseline's own.
    ///
    /// # Errors
    /// The import fails; its message is in the error.
    pub async fn import(&self, path: &std::path::Path, pod: &str, custom: &[&str]) -> Result<String> {
        let output = tokio::process::Command::new(self.programs.join("dbmedic"))
            .args([
                "history",
                "import",
                "--pod",
                pod,
                "--baseline",
                &format!("{}/orders", self.namespace),
                "--data-dir",
            ])
            .arg(self.data_directory())
            .args(custom.iter().flat_map(|metric| ["--custom", metric]))
            .arg(path)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "dbmedic history import: {said}");
        Ok(said.trim().to_owned())
    }
}

/// A history with a daily and weekly season, as wide CSV: `days` days that end now, a round each `step` seconds.
///
/// `response_time` is about `centre` ms. The noise is that of a small deterministic generator: the same history for
/// the same arguments and time.
pub fn history_csv(centre: f64, days: u32, step: u32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let begin = now - u64::from(days) * 86_400;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = move || {
        // The sum of four uniform numbers is close to a normal one, with a standard deviation of 0.577.
        let mut sum = 0.0;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        sum / 0.577
    };
    let mut text = String::from(
        "timestamp,response_time,throughput,error_rate,connection_count,cache_hit_rate,lock_waits,disk_usage\n",
    );
    for at in (begin..now).step_by(step as usize) {
        let day = (at % 86_400) as f64 / 86_400.0;
        let weekend = if (at / 86_400 + 3) % 7 >= 5 { 0.6 } else { 1.0 };
        let season = weekend * (1.0 + 0.3 * (std::f64::consts::TAU * (day - 0.35)).sin());
        let time = jiff::Timestamp::from_second(i64::try_from(at).unwrap_or(0))
            .map(|time| time.to_string())
            .unwrap_or_default();
        let response = (centre * (0.85 + 0.15 * season) * (1.0 + 0.2 * noise())).max(centre * 0.1);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{time},{response:.4},{:.2},{:.3},{:.0},{:.2},0,{}",
            (200.0 * season * (1.0 + 0.08 * noise())).max(0.0),
            (0.05 * (1.0 + noise())).max(0.0),
            (12.0 + 4.0 * season + noise()).max(1.0),
            (99.5 + 0.1 * noise()).clamp(0.0, 100.0),
            (400_000_000 + (at - begin) * 900) / 8192 * 8192,
        );
    }
    text
}
