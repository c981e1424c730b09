//! `-o csv`: one row per input row, in its order.

use std::io::Write;

use super::super::series::Row;
use super::judge::Judged;

/// The header. Others read these columns: they stay.
pub(super) const HEADER: &str = "timestamp,value,expected,lower,upper,score,anomalous,incident\n";

/// Writes one row. Nothing is allocated, and nothing but the value decides how a number is written: the shortest digits
/// that read back as the same one.
pub(super) fn write_row(out: &mut impl Write, row: &Row<'_>, judged: &Judged) -> std::io::Result<()> {
    // ISO 8601 allows a comma before the fraction of a second.
    let quote = if row.time.contains([',', '"']) { "\"" } else { "" };
    write!(out, "{quote}{}{quote},{}", row.time, row.text(judged.column))?;
    for value in [judged.expected, judged.lower, judged.upper] {
        out.write_all(b",")?;
        if value.is_finite() {
            write!(out, "{value:?}")?;
        }
    }
    let score = if judged.score.is_finite() { judged.score.clamp(0.0, 1.0) } else { 0.0 };
    write!(out, ",{score:?},{},", u8::from(judged.anomalous))?;
    if let Some(incident) = judged.incident {
        write!(out, "{incident}")?;
    }
    out.write_all(b"\n")
}
