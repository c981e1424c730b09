//! What the kernel says of processes: processor time and resident memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// Processor time of every thread that a process has now.
///
/// # Errors
/// There is no such process, or the kernel keeps no such accounts.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))? {
        nanoseconds += scheduled(&thread?.path().join("schedstat").display().to_string())?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Processor time of the calling thread, by its clock: what `/proc` says of one that runs lags by a tick.
///
/// # Errors
/// The kernel keeps no such accounts.
pub fn own_processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("the thread's clock")?.into())
}

fn scheduled(path: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    text.split(' ').next().and_then(|first| first.trim().parse().ok()).with_context(|| format!("{path}: {text:?}"))
}

/// Processor time of the processes that this one has started and that have ended, to a hundredth of a second.
///
/// # Errors
/// The kernel keeps no such accounts.
pub fn children_processor_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    // After the name, which may hold anything, in parentheses: `cutime` and `cstime` are the 14th and 15th.
    let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().collect::<Vec<_>>());
    let ticks = |index: usize| fields.as_ref()?.get(index)?.parse::<u64>().ok();
    let ticks = ticks(13).zip(ticks(14)).with_context(|| format!("/proc/self/stat: {text:?}"))?;
    Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
}

/// Resident memory of a process: all of it, and the part that no file stands behind, in MiB.
///
/// # Errors
/// There is no such process.
pub fn resident(pid: u32) -> Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let mebibytes = |name: &str| field(name).map(|kib| kib / 1024.0).with_context(|| format!("no {name} of {pid}"));
    Ok((mebibytes("VmRSS:")?, mebibytes("RssAnon:")?))
}

/// Processor, its cores and the load of the machine, for people.
pub fn description() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("processor unknown", |(_, name)| name).trim();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(2).collect();
    format!("{cores} cores, {model}, load {}", load.join(" "))
}
