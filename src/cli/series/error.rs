//! Why a series could not be read, in words that name the place.

use super::super::text::clean;

/// A cell is quoted in messages up to this many characters.
const QUOTED: usize = 40;
/// Names listed in a message.
const LISTED: usize = 20;

/// Why a series could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SeriesError {
    /// The file cannot be read.
    #[error("{file}: {message}")]
    File {
        /// Name of the file, as given.
        file: String,
        /// Why.
        message: String,
    },
    /// A line that cannot be understood as a whole.
    #[error("{file}: line {line}: {message}")]
    Line {
        /// Name of the file, as given.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Found and allowed.
        message: String,
    },
    /// A cell that cannot be understood.
    #[error("{file}: line {line}, column {column}: {message}")]
    Cell {
        /// Name of the file, as given.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Name of the column, or its number from 1 where it has none.
        column: String,
        /// Found and allowed.
        message: String,
    },
    /// The history cannot be read, or does not have what was asked for.
    #[error("{flag}: {message}")]
    History {
        /// The flag that asked for it.
        flag: &'static str,
        /// Found and allowed.
        message: String,
    },
}

/// A cell as messages show it: its beginning, in quotes, with nothing in it that a terminal acts on.
pub(super) fn quoted(cell: &[u8]) -> String {
    // Enough bytes for the characters that are shown, whatever their length.
    let text = String::from_utf8_lossy(&cell[..cell.len().min(4 * QUOTED)]).into_owned();
    let text = clean(&text);
    let short: String = text.chars().take(QUOTED).collect();
    let more = if short.len() < text.len() || cell.len() > 4 * QUOTED { "…" } else { "" };
    format!("\"{short}{more}\"")
}

/// Names as messages list them.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(clean).collect();
    let more = names.len().saturating_sub(LISTED);
    let shown = names.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}
