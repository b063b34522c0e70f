//! The table of who sits where.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

use crate::observer::{Kind, RoomView};

/// Colours that tell shards apart; after the last, they start over.
const SHARD_COLOURS: [Color; 4] = [Color::Cyan, Color::Yellow, Color::Magenta, Color::Blue];

/// One row per room. `shards` gives shards their colours by position; `styled` allows colours at all; `width` is the
/// terminal's, in columns.
#[must_use]
pub fn rooms_table(rooms: &[RoomView], shards: &[String], styled: bool, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    if styled {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(["Room", "Replica", "Shard", "WebSocket", "BOSH", "Plain", "Splits", "Errors"]);
    for room in rooms {
        table.add_row([
            Cell::new(&room.name),
            Cell::new(joined(room.replicas.iter())),
            shard_cell(room, shards),
            count(room, Kind::Tunnel),
            count(room, Kind::Bosh),
            count(room, Kind::Plain),
            alarm(room.splits),
            alarm(room.errors),
        ]);
    }
    table.trim_fmt()
}

fn joined<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The shards people sit on; in brackets the last one, when all have left.
fn shard_cell(room: &RoomView, shards: &[String]) -> Cell {
    let mut seen = room.shards.iter();
    match (seen.next(), seen.next(), &room.last_shard) {
        (Some(shard), None, _) => {
            let place = shards.iter().position(|name| name == shard).unwrap_or(0);
            Cell::new(shard).fg(SHARD_COLOURS[place % SHARD_COLOURS.len()])
        }
        (Some(_), Some(_), _) => Cell::new(joined(room.shards.iter())).fg(Color::Red).add_attribute(Attribute::Bold),
        (None, _, Some(last)) => Cell::new(format!("({last})")).add_attribute(Attribute::Dim),
        (None, _, None) => Cell::new(""),
    }
}

fn count(room: &RoomView, kind: Kind) -> Cell {
    let cell = match room.sitting.get(&kind) {
        Some(sitting) => Cell::new(sitting),
        None => Cell::new("·").add_attribute(Attribute::Dim),
    };
    cell.set_alignment(CellAlignment::Right)
}

/// Zero is calm, anything else is red.
fn alarm(count: u64) -> Cell {
    let cell = Cell::new(count).set_alignment(CellAlignment::Right);
    if count == 0 { cell } else { cell.fg(Color::Red).add_attribute(Attribute::Bold) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Observer;

    #[test]
    fn a_row_says_who_sits_where() {
        let observer = Observer::new(["Café".to_owned(), "Retro".to_owned()]);
        let seats = [observer.seat(0, Kind::Tunnel, "replica-1"), observer.seat(0, Kind::Bosh, "replica-1")];
        seats[0].saw("shard-2");
        seats[1].saw("shard-1");
        let retro = observer.seat(1, Kind::Plain, "replica-2");
        retro.saw("shard-1");
        drop(retro);

        let table = rooms_table(&observer.rooms(), &[], false, None);
        let row = |name| table.lines().find(|line| line.contains(name)).unwrap().replace(' ', "");
        assert_eq!(row("Café"), "│Café┆replica-1┆shard-1,shard-2┆1┆1┆·┆1┆0│");
        assert_eq!(row("Retro"), "│Retro┆┆(shard-1)┆·┆·┆·┆0┆0│");
        assert!(!table.contains('\u{1b}'), "plain output has no escapes");
        assert!(rooms_table(&observer.rooms(), &[], true, None).contains('\u{1b}'));
    }
}
