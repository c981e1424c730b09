//! `docs/quality.md`: tables between markers are written by the run, everything else by hand.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The document, held until it is written.
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { path, text })
    }

    /// Puts a section in the place of what stands between its markers.
    ///
    /// # Errors
    /// There are no such markers.
    pub fn replace(&mut self, section: &str, content: &str) -> Result<()> {
        let (begin, end) = (format!("<!-- begin {section} -->\n"), format!("<!-- end {section} -->"));
        let from = self.text.find(&begin).map(|at| at + begin.len());
        let missing = || format!("{} has no `{}` and `{end}`", self.path.display(), begin.trim());
        let from = from.with_context(missing)?;
        let to = self.text[from..].find(&end).map(|at| from + at).with_context(missing)?;
        self.text.replace_range(from..to, &format!("\n{}\n\n", content.trim()));
        Ok(())
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        fs::write(&self.path, &self.text).with_context(|| format!("writing {}", self.path.display()))
    }
}

/// A table in Markdown that reads as well in a terminal.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let width = |column: usize| {
        std::iter::once(&header).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|");
    format!("{}|{rule}|\n{}", line(&header), rows.iter().map(line).collect::<String>())
}
