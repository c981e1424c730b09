//! Waiting for a condition instead of for time to pass.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `look` every 20 ms until it answers `Some` and returns that answer.
///
/// # Errors
/// After `timeout`, naming `what` was waited for; at once when `look` itself fails.
pub async fn eventually<T, F>(timeout: Duration, what: impl Display, mut look: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() >= timeout {
            bail!("waited {:.1} s in vain for {what}", timeout.as_secs_f64());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks `look` every 20 ms for the whole `period`; the condition must never cease to hold.
///
/// # Errors
/// As soon as `look` answers false, naming `what` ceased; at once when `look` itself fails.
pub async fn holds_for<F>(period: Duration, what: impl Display, mut look: F) -> Result<()>
where
    F: AsyncFnMut() -> Result<bool>,
{
    let start = Instant::now();
    loop {
        if !look().await? {
            bail!("{what} ceased to hold after {:.1} s", start.elapsed().as_secs_f64());
        }
        if start.elapsed() >= period {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
