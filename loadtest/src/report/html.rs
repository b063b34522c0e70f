//! One HTML file that holds everything: tables, plots, machine, versions. No scripts, nothing fetched.

mod chaos;
mod plot;
mod versus;

#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;
use serde_json::Value;

use crate::{chaos::result::ChaosRun, versus::result::VersusRun};

const STYLE: &str = include_str!("html/style.css");

/// What a report is made of. Empty parts are left out, and the page says so.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Comparisons.
    pub versus: Vec<VersusRun>,
    /// Chaos runs, of one script against one target each.
    pub chaos: Vec<ChaosRun>,
}

/// Why a file is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No JSON, or not that of its kind.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// JSON of something else.
    #[error("this is neither a result of versus nor one of chaos")]
    Unknown,
}

impl Results {
    /// Adds what a file holds: results one after the other, or lists of them.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self, text: &str) -> Result<(), ReadError> {
        for value in serde_json::Deserializer::from_str(text).into_iter() {
            self.add(value?)?;
        }
        Ok(())
    }

    fn add(&mut self, value: Value) -> Result<(), ReadError> {
        match value {
            Value::Array(values) => values.into_iter().try_for_each(|value| self.add(value))?,
            Value::Object(ref fields) if fields.get("kind").is_some_and(|kind| kind == "versus") => {
                self.versus.push(VersusRun::deserialize(value)?);
            }
            Value::Object(ref fields) if fields.contains_key("violations_total") => {
                self.chaos.push(ChaosRun::deserialize(value)?);
            }
            _ => return Err(ReadError::Unknown),
        }
        Ok(())
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { "Roompin: measured" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { "Roompin, measured" }
                        @for run in &self.versus { (versus::byline(run)) }
                    }
                    main {
                        @for run in &self.versus { (versus::sections(run)) }
                        @if !self.chaos.is_empty() { (chaos::section(&self.chaos)) }
                        @if self.versus.is_empty() { (missing("No comparison", "versus haproxy --json FILE")) }
                        @if self.chaos.is_empty() { (missing("No chaos run", "chaos --json")) }
                    }
                }
            }
        };
        page.into_string()
    }
}

fn missing(what: &str, command: &str) -> Markup {
    html! { p.note { (what) " is part of this report: " code { "roompin-loadtest " (command) } " makes one." } }
}

/// A plot with its title and what its colours mean.
fn figure(title: &str, legend: &[(&str, usize)], svg: &str) -> Markup {
    html! {
        figure {
            figcaption { (title) }
            div.legend {
                @for (name, colour) in legend { span { i.{ "c" (colour) } {} (name) } }
            }
            (PreEscaped(svg))
        }
    }
}
