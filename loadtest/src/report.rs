//! What people and scripts get to see of a run.

mod html;
mod screen;
mod table;
mod verdict;

pub use html::{ReadError, Results};
pub use screen::{Screen, Sink};
pub use table::rooms_table;
pub use verdict::Verdict;
