//! The comparison as text: a table for the terminal, and Markdown.

use comfy_table::{Attribute, Cell as Shown, CellAlignment, Color, ContentArrangement, Table, presets};

use super::{
    result::VersusRun,
    rows::{Better, Cell, Row, show},
};

/// Ratios from here on are good, below they are bad; between, neither.
const GOOD: f64 = 1.02;

/// For the terminal. `width` is its columns; `styled` allows colours.
#[must_use]
pub fn terminal(run: &VersusRun, styled: bool, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    if styled {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    fill(&mut table, run, |title| Shown::new(title).add_attribute(Attribute::Bold));
    format!("{}\n{}", table.trim_fmt(), run.splits_in_words())
}

/// For a page: the table, the machine, and the command that made it.
#[must_use]
pub fn markdown(run: &VersusRun) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.force_no_tty();
    fill(&mut table, run, |title| Shown::new(format!("**{title}**")));
    let (machine, settings) = (&run.machine, &run.settings);
    let versions: Vec<_> = run.subjects.iter().map(|subject| subject.version.as_str()).collect();
    let mut versions = versions;
    versions.dedup();
    format!(
        "{}\n\n{}\\\n{} · {} cores · {} MiB · Linux {} · {}\\\n{} · {} rounds of {} s\\\n{}\n\n```\n{}\n```\n",
        table.trim_fmt(),
        run.splits_in_words(),
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        machine.system,
        run.at,
        settings.rounds,
        settings.seconds,
        versions.join(" · "),
        run.command,
    )
}

fn fill(table: &mut Table, run: &VersusRun, title: impl Fn(&str) -> Shown) {
    let names = || run.subjects.iter().map(|subject| subject.name.as_str());
    let ratios = names().skip(1).map(|name| format!("ours ÷ {name}"));
    let head = [String::new(), String::new()].into_iter().chain(names().map(str::to_owned)).chain(ratios);
    table.set_header(head.collect::<Vec<_>>());
    for group in run.groups() {
        table.add_row([title(&group.title)]);
        for row in &group.rows {
            let cells = row.cells.iter().map(|cell| Shown::new(text(cell)));
            let ratios = row.ratios.iter().map(|&ratio| Shown::new(ratio_text(ratio)).fg(colour(row, ratio)));
            let numbers = cells.chain(ratios).map(|cell| cell.set_alignment(CellAlignment::Right));
            table
                .add_row([Shown::new(&row.label), Shown::new(row.unit)].into_iter().chain(numbers).collect::<Vec<_>>());
        }
    }
}

/// A cell as people read it.
#[must_use]
pub fn text(cell: &Cell) -> String {
    match cell {
        Cell::Value { median, .. } => show(*median),
        Cell::Missing => "—".to_owned(),
    }
}

/// A ratio as people read it.
#[must_use]
pub fn ratio_text(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} ×"))
}

/// Whether a ratio speaks for ours (`Some(true)`), against it, or for neither.
#[must_use]
pub fn speaks_for_ours(row: &Row, ratio: Option<f64>) -> Option<bool> {
    let gain = match row.better {
        Better::Higher => ratio?,
        Better::Lower => 1.0 / ratio?,
        Better::Neither => return None,
    };
    if gain >= GOOD {
        Some(true)
    } else if gain <= 1.0 / GOOD {
        Some(false)
    } else {
        None
    }
}

fn colour(row: &Row, ratio: Option<f64>) -> Color {
    match speaks_for_ours(row, ratio) {
        Some(true) => Color::Green,
        Some(false) => Color::Red,
        None => Color::Reset,
    }
}
