//! Drawing on a terminal again and again, or printing plainly where there is none.

use std::io::{self, IsTerminal, Write};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    queue,
    style::Print,
    terminal::{Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, size},
};

/// Where the table goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// For people, who asked for it.
    Stdout,
    /// When stdout belongs to a script.
    Stderr,
}

/// A terminal taken over for a live table, or a plain stream. Dropping it, also in a panic, gives the terminal back.
#[derive(Debug)]
pub struct Screen {
    sink: Sink,
    live: bool,
}

impl Screen {
    /// Takes the sink over if it is a terminal.
    ///
    /// # Errors
    /// When the terminal does not take the commands.
    pub fn open(sink: Sink) -> io::Result<Self> {
        let live = match sink {
            Sink::Stdout => io::stdout().is_terminal(),
            Sink::Stderr => io::stderr().is_terminal(),
        };
        let screen = Self { sink, live };
        if live {
            screen.with(|out| queue!(out, EnterAlternateScreen, DisableLineWrap, Hide))?;
        }
        Ok(screen)
    }

    /// Whether it redraws in place, so that drawing often is pleasant.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Columns of the terminal; `None` where there is none.
    #[must_use]
    pub fn width(&self) -> Option<u16> {
        if self.live { size().ok().map(|(width, _)| width) } else { None }
    }

    /// Shows a page: in place of the last one on a terminal (what does not fit is left out), else below it.
    ///
    /// # Errors
    /// When the sink does not take it.
    pub fn show(&self, page: &str) -> io::Result<()> {
        if !self.live {
            return self.with(|out| writeln!(out, "{page}"));
        }
        let height = size().map_or(u16::MAX, |(_, height)| height);
        self.with(|out| {
            // Cleared before it is written: after the last column, clearing would take that column with it.
            for (line, row) in page.lines().zip(0..height) {
                queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine), Print(line))?;
            }
            let rows = u16::try_from(page.lines().count()).unwrap_or(u16::MAX);
            if rows < height {
                queue!(out, MoveTo(0, rows), Clear(ClearType::FromCursorDown))?;
            }
            Ok(())
        })
    }

    /// Gives the terminal back and leaves a last page on it.
    ///
    /// # Errors
    /// When the sink does not take it.
    pub fn close(mut self, page: &str) -> io::Result<()> {
        self.restore()?;
        self.with(|out| writeln!(out, "{page}"))
    }

    fn restore(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.live) {
            return Ok(());
        }
        self.with(|out| queue!(out, EnableLineWrap, LeaveAlternateScreen, Show))
    }

    fn with(&self, draw: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut out: Box<dyn Write> = match self.sink {
            Sink::Stdout => Box::new(io::stdout().lock()),
            Sink::Stderr => Box::new(io::stderr().lock()),
        };
        // One write per page, so that it does not flicker and is not torn.
        let mut page = Vec::new();
        draw(&mut page)?;
        out.write_all(&page)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to tell, when even the terminal does not listen.
        let _ = self.restore();
    }
}
