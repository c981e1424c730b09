//! One way to render every model.

use std::io::IsTerminal;

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

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(format!("{text}\n"))
}

/// A value as YAML.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| Failure::Other(error.to_string()))
}
