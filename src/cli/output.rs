//! One way to render every model.

use std::io::{ErrorKind, IsTerminal, Write};

use serde::Serialize;

use super::arguments::{Colour, Common, Format};
use super::failure::Failure;
use super::table::Table;

/// What a command found, ready to be shown.
pub(super) trait Report: Serialize {
    /// The tables, separated by an empty line.
    fn tables(&self, wide: bool) -> Vec<Table>;
    /// `kind.group/name` of every object, for `-o name`.
    fn names(&self) -> Vec<String>;
    /// The whole text for people.
    fn text(&self, wide: bool, headers: bool, colour: bool) -> String {
        let tables: Vec<String> = self.tables(wide).iter().map(|table| table.render(headers, colour)).collect();
        tables.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// How to render.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub format: Format,
    headers: bool,
    colour: bool,
}

impl Output {
    pub(super) fn new(common: &Common) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colour = match common.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
                !set("NO_COLOR") && (forced || (!dumb && std::io::stdout().is_terminal()))
            }
        };
        Self { format: common.output, headers: !common.no_headers, colour }
    }

    /// Renders a model.
    pub(super) fn render(self, report: &impl Report) -> Result<String, Failure> {
        Ok(match self.format {
            Format::Table => report.text(false, self.headers, self.colour),
            Format::Wide => report.text(true, self.headers, self.colour),
            Format::Json => json(report)?,
            Format::Yaml => yaml(report)?,
            Format::Csv => {
                return Err(Failure::Usage("-o: found csv, allowed here: table, wide, json, yaml, name".to_owned()));
            }
            Format::Name => report.names().iter().flat_map(|name| [name.as_str(), "\n"]).collect(),
        })
    }
}

/// Writes what a command found.
pub(super) fn write(out: &mut impl Write, text: &str) -> Result<(), Failure> {
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What a write says: a full disk is an error, a reader that went away (`| head`) is none of ours.
pub(super) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Other(format!("cannot write: {error}"))),
        _ => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(format!("{text}\n"))
}

/// A value as YAML.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| Failure::Other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_reader_that_went_away_is_none() {
        let full = write(&mut Failing(ErrorKind::StorageFull), "text\n").unwrap_err();
        assert!(full.to_string().starts_with("cannot write: ") && full.exit_code() == 1, "{full}");
        assert!(write(&mut Failing(ErrorKind::BrokenPipe), "text\n").is_ok());
        // What is still in the buffer when it is flushed.
        let mut buffered = std::io::BufWriter::new(Failing(ErrorKind::StorageFull));
        assert!(write(&mut buffered, "text").is_err());
        let _ = buffered.into_parts();
    }
}
