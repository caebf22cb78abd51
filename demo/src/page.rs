//! The page that the demo is told on: headings, paragraphs, aligned columns, at most 100 characters wide.

use std::io::{self, Write};

use proto::terminal::shown;

/// Characters of a line.
const WIDTH: usize = 100;
const INDENT: &str = "  ";
const GAP: &str = "  ";

/// Where the demo is told, in color or not.
pub struct Page {
    out: Box<dyn Write + Send>,
    color: bool,
}

/// What a text means for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Something was stopped, or is wrong.
    Bad,
    /// Something was taken out.
    Masked,
    /// Less important.
    Faint,
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell { text: text.into(), tone: Tone::Plain }
    }
}

impl Cell {
    /// A cell with a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Cell { text: text.into(), tone }
    }
}

impl Page {
    /// A page on `out`.
    pub fn new(out: impl Write + Send + 'static, color: bool) -> Self {
        Self { out: Box::new(out), color }
    }

    /// A chapter begins.
    ///
    /// # Errors
    /// When it cannot be written; likewise below.
    pub fn heading(&mut self, title: &str) -> io::Result<()> {
        let title = self.paint("1", title);
        writeln!(self.out, "\n{title}\n")
    }

    /// A paragraph.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.tinted(text, Tone::Plain)
    }

    /// A paragraph with a tone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tinted(&mut self, text: &str, tone: Tone) -> io::Result<()> {
        for line in wrap(&clean(text), WIDTH - INDENT.len()) {
            let line = self.tint(&line, tone);
            writeln!(self.out, "{INDENT}{line}")?;
        }
        Ok(())
    }

    /// A line exactly as it is, to be copied: however long it is, it is not broken.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{INDENT}{INDENT}{}", clean(text))
    }

    /// An empty line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// Rows in aligned columns. A column is as wide as its widest cell, but not wider than its entry in `widths`
    /// (0: no bound); what is longer is cut. The last column takes the rest of the line and is broken into lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn table(
        &mut self,
        headers: &[&str],
        widths: &[usize],
        rows: &[Vec<Cell>],
    ) -> io::Result<()> {
        let columns: Vec<usize> = (0..headers.len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                let cells = cells.map(|cell| cell.text.chars().count());
                let widest = cells.max().unwrap_or(0).max(headers[column].chars().count());
                match widths.get(column) {
                    Some(0) | None => widest,
                    Some(bound) => widest.min(*bound),
                }
            })
            .collect();
        let heads: Vec<Cell> = headers.iter().map(|head| Cell::new(*head, Tone::Faint)).collect();
        for row in std::iter::once(&heads).chain(rows) {
            self.row(&columns, row)?;
        }
        Ok(())
    }

    /// What was written so far is shown.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn row(&mut self, columns: &[usize], row: &[Cell]) -> io::Result<()> {
        let Some((last, before)) = row.split_last() else { return Ok(()) };
        let mut head = INDENT.to_owned();
        let mut used = INDENT.len();
        for (cell, &width) in before.iter().zip(columns) {
            let text = cut(&clean(&cell.text), width);
            let padding = " ".repeat(width - text.chars().count());
            head.push_str(&format!("{}{padding}{GAP}", self.tint(&text, cell.tone)));
            used += width + GAP.len();
        }
        let lines = wrap(&clean(&last.text), WIDTH.saturating_sub(used).max(20));
        for (number, line) in lines.iter().enumerate() {
            let start = if number == 0 { head.clone() } else { " ".repeat(used) };
            let line = format!("{start}{}", self.tint(line, last.tone));
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn tint(&self, text: &str, tone: Tone) -> String {
        match tone {
            Tone::Plain => text.to_owned(),
            Tone::Good => self.paint("32", text),
            Tone::Bad => self.paint("31", text),
            Tone::Masked => self.paint("33", text),
            Tone::Faint => self.paint("2", text),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// What would command a terminal is shown, not obeyed: part of what is told was written by others.
fn clean(text: &str) -> String {
    shown(&text.replace('\n', " ")).into_owned()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    format!("{kept}{}", "...".chars().take(width).collect::<String>())
}

/// Lines of at most `width` characters, broken at spaces, and within a word that is longer.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().map(|line| (line.chars().count(), line));
            let Some((used, line)) = line else { break };
            let space = usize::from(used > 0);
            if used + space + word.len() <= width {
                if used > 0 {
                    line.push(' ');
                }
                line.extend(&word);
                break;
            }
            if used == 0 {
                line.extend(word.drain(..width.min(word.len())));
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(color: bool, tell: impl Fn(&mut Page) -> io::Result<()>) -> String {
        let paper = Paper::default();
        tell(&mut Page::new(paper.clone(), color)).unwrap();
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_the_last_is_broken() {
        let rows = [
            vec![Cell::from("a"), "short".into(), "one".into()],
            vec![Cell::from("bbb"), "much too long".into(), "word ".repeat(40).trim_end().into()],
        ];
        let text = told(false, |page| page.table(&["x", "y", "z"], &[0, 8, 0], &rows));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  x    y         z");
        assert_eq!(lines[1], "  a    short     one");
        assert!(lines[2].starts_with("  bbb  much ...  word word"));
        assert!(lines[3].starts_with("                 word"));
        assert!(lines.len() > 4 && lines.iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn long_words_are_broken_and_control_characters_shown() {
        let text = told(false, |page| page.text(&format!("a \x1b[31m {}", "x".repeat(250))));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(text.matches('x').count(), 250);
        assert!(!text.contains('\x1b') && text.contains("\\u{1b}"));
    }

    #[test]
    fn color_is_left_out_where_it_is_not_wanted() {
        let tell = |page: &mut Page| page.tinted("yes", Tone::Good);
        assert_eq!(told(false, tell), "  yes\n");
        assert_eq!(told(true, tell), "  \x1b[32myes\x1b[0m\n");
    }
}
