//! `backtest`: recorded rows judged as the operator would have judged them, without a cluster.
//!
//! `source` gives the rows, `judge` judges them one by one (the very detectors of the operator), `rows` writes `-o csv` as
//! they come, `summary` gathers what the other forms show (`report`, `plot`, `svg`), `labels` compares with what is known.

mod arguments;
mod axis;
mod bins;
mod document;
mod judge;
mod labels;
mod plot;
mod report;
mod rows;
mod rule;
mod source;
mod summary;
mod svg;
#[cfg(test)]
mod causal;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

pub(super) use arguments::BacktestArguments;
use arguments::Sensitivity;
use judge::Judge;
use plot::Canvas;
use report::{BacktestReport, JudgedBy};
use source::Source;
use summary::Summary;
use svg::Picture;

use super::arguments::{Common, Format};
use super::failure::Failure;
use super::output::Output;
use super::series::{self, Rows, SeriesError};
use super::text::clean;

/// Bytes written at once.
const BUFFER: usize = 64 * 1024;

/// Why a pass over the rows ended early.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Series(#[from] SeriesError),
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Series(error) => error.into(),
            PassError::Write(error) => Self::Other(format!("cannot write: {error}")),
        }
    }
}

/// Runs the command: what is for standard output goes to `out`, what is said beside it to `talk`.
pub(super) async fn run(
    arguments: &BacktestArguments,
    common: &Common,
    output: &Output,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<u8, Failure> {
    let windows = arguments.labels.as_deref().map(labels::read).transpose()?;
    let Source { mut rows, name } = source::open(arguments, common).await?;
    let columns = rows.columns().to_vec();
    let (mut judge, by) = match &arguments.rule {
        Some(path) => {
            let judging = rule::read(path, &columns)?;
            let judged = judging.recorded.judged().to_vec();
            let needs = judging.recorded.needs();
            let by = JudgedBy { words: format!("rule {}", judging.name), sensitivity: None, columns: judged, needs };
            (Judge::Rule(Box::new(judging.recorded)), by)
        }
        None => {
            let word = match arguments.sensitivity {
                Sensitivity::Low => "low",
                Sensitivity::Medium => "medium",
                Sensitivity::High => "high",
            };
            let by = JudgedBy { sensitivity: Some(word), ..JudgedBy::all("the shipped detectors", &columns) };
            (Judge::shipped(&columns, arguments.sensitivity), by)
        }
    };
    // Before the rows, which may be many: a picture that cannot be written is said at once.
    let picture_file = arguments.svg.as_deref().map(|path| Destination::create(path, arguments)).transpose()?;
    let csv = output.format == Format::Csv;
    // The rows alone are written as they come; whatever sums them up is gathered only where it is shown.
    let gathers = !csv || arguments.svg.is_some() || arguments.labels.is_some();
    let mut summary = Summary::new(if gathers { columns.len() } else { 0 }, windows);
    let written = if csv {
        let mut out = std::io::BufWriter::with_capacity(BUFFER, &mut *out);
        let written = pass(&mut rows, &mut judge, Some(&mut out), gathers.then_some(&mut summary));
        written.and_then(|passed_over| Ok(out.flush().map(|()| passed_over)?))
    } else {
        pass(&mut rows, &mut judge, None::<&mut std::io::Sink>, Some(&mut summary))
    };
    let passed_over = match written {
        // A reader that went away (`| head`) is no error of ours.
        Err(PassError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(0),
        other => other?,
    };
    if passed_over > 0 {
        say(talk, &series::passed_over(passed_over));
    }
    if !gathers {
        return Ok(0);
    }
    let format = rows.format();
    if summary.rows > 0 && summary.judged == 0 {
        say(talk, &format!("No row was judged: needed are {}.", by.needs));
    }
    let report = BacktestReport::new(&name, &columns, by, format, summary, Canvas::of_output());
    if let Some(file) = picture_file {
        file.write(&picture(&report).draw())?;
    }
    if !csv {
        super::output::write(out, &output.render(&report)?)?;
    } else if let Some(labels) = &report.labels {
        // Rows alone go to standard output: others read them.
        say(talk, &format!("Labels: {}.", report::agreement(labels)));
    }
    Ok(0)
}

/// Says something to whoever stands beside; nothing can be done when nobody listens.
fn say(talk: &mut impl Write, words: &str) {
    let _ = writeln!(talk, "{words}");
}

/// Where a picture goes.
struct Destination {
    file: std::fs::File,
    path: String,
}

impl Destination {
    /// Begins the file anew, unless it is one that is read.
    fn create(path: &Path, arguments: &BacktestArguments) -> Result<Self, Failure> {
        let shown = clean(&path.display().to_string());
        let read = [("--csv", &arguments.source.csv), ("--rule", &arguments.rule), ("--labels", &arguments.labels)];
        let there = path.canonicalize().ok();
        for (flag, input) in read {
            if there.is_some() && input.as_ref().and_then(|input| input.canonicalize().ok()) == there {
                return Err(Failure::Usage(format!("--svg: found {shown}, which {flag} reads, allowed: another file")));
            }
        }
        match std::fs::File::create(path) {
            Ok(file) => Ok(Self { file, path: shown }),
            Err(error) => Err(Failure::Other(format!("--svg {shown}: {error}"))),
        }
    }

    fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| Failure::Other(format!("--svg {}: {error}", self.path)))
    }
}

/// Judges a file in memory and shows it in every form, for whoever tries what hostile text does. Gives the number of rows
/// that something was known for.
pub(super) fn judge_bytes(csv: &[u8], rule: Option<&[u8]>) -> Result<u64, String> {
    let mut rows = Rows::new(csv, "f.csv", None).map_err(|error| error.to_string())?;
    let columns = rows.columns().to_vec();
    let mut judge = match rule {
        Some(rule) => {
            Judge::Rule(Box::new(rule::parse(rule, &columns).map_err(|problem| problem.in_file("r.yaml"))?.recorded))
        }
        None => Judge::shipped(&columns, Sensitivity::High),
    };
    let mut summary = Summary::new(columns.len(), Some(Vec::new()));
    pass(&mut rows, &mut judge, Some(&mut std::io::sink()), Some(&mut summary)).map_err(|error| error.to_string())?;
    let (format, canvas) = (rows.format(), Canvas { width: 80, unicode: true });
    let report = BacktestReport::new("f.csv", &columns, JudgedBy::all("any", &columns), format, summary, canvas);
    super::output::Report::text(&report, true, true, true);
    serde_json::to_string(&report).map_err(|error| error.to_string())?;
    picture(&report).draw();
    Ok(report.judged)
}

/// Judges every row, writes it, and gathers what it says. Gives the number of rows that were passed over.
fn pass<R: Read>(
    rows: &mut Rows<R>,
    judge: &mut Judge,
    mut out: Option<&mut impl Write>,
    mut summary: Option<&mut Summary>,
) -> Result<u64, PassError> {
    if let Some(out) = &mut out {
        out.write_all(rows::HEADER.as_bytes())?;
    }
    let mut latest = None;
    let mut passed_over = 0;
    while let Some(row) = rows.next_row()? {
        if latest.is_some_and(|latest| row.at <= latest) {
            passed_over += 1;
            if let Some(out) = &mut out {
                rows::write_row(*out, &row, &judge.nothing())?;
            }
            if let Some(summary) = &mut summary {
                summary.passed_over();
            }
            continue;
        }
        latest = Some(row.at);
        let judged = judge.row(row.at, row.values);
        if let Some(out) = &mut out {
            rows::write_row(*out, &row, &judged)?;
        }
        if let Some(summary) = &mut summary {
            summary.row(&row, &judged);
        }
    }
    Ok(passed_over)
}

fn picture(report: &BacktestReport) -> Picture<'_> {
    let incidents = &report.summary.incidents;
    Picture {
        title: &report.source,
        subtitle: &report.judged_by,
        columns: report.columns.iter().map(|column| (column.name.as_str(), column.unit)).collect(),
        bins: &report.summary.bins,
        incidents: incidents.iter().map(|incident| (incident.from, incident.to, incident.number)).collect(),
        format: report.format,
    }
}
