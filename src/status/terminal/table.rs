//! Rows in columns: as wide as what is in them, and cut only where a terminal would break them.

use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::printable;

/// Between two columns.
const GAP: usize = 2;

/// A text and how it looks.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text from anywhere.
    pub fn new(text: &str) -> Self {
        Self { text: printable(text).into_owned(), style: Style::new() }
    }

    /// With colour or weight.
    pub fn styled(text: &str, style: Style) -> Self {
        Self { style, ..Self::new(text) }
    }
}

/// Writes the rows. `flexible` is the column that gives way where `width` does not suffice.
pub fn write(
    out: &mut impl Write,
    rows: &[Vec<Cell>],
    flexible: usize,
    width: Option<usize>,
) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max().unwrap_or(0)
        })
        .collect();
    let taken: usize = widths.iter().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP);
    if let Some(over) = width.and_then(|width| taken.checked_sub(width))
        && let Some(column) = widths.get_mut(flexible)
    {
        *column = column.saturating_sub(over).max(8);
    }
    for row in rows {
        let mut line = String::new();
        let mut used = 0;
        for (column, cell) in row.iter().enumerate() {
            let is_last = column + 1 == row.len();
            let mut room = if is_last && width.is_none() { usize::MAX } else { widths[column] };
            if let Some(width) = width {
                room = room.min(width.saturating_sub(used));
            }
            let text = cut(&cell.text, room);
            line.extend([&cell.style.to_string(), &text, &format!("{:#}", cell.style)].map(String::as_str));
            let padding = if is_last { 0 } else { widths[column].saturating_sub(text.width()) + GAP };
            line.extend(std::iter::repeat_n(' ', padding));
            used += text.width() + padding;
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// At most this many columns, with a sign that something is missing.
pub fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_string();
    }
    let mut shown = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > room {
            break;
        }
        shown.push(c);
        used += width;
    }
    if room > 0 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rows: &[&[&str]], width: Option<usize>) -> String {
        let rows: Vec<Vec<Cell>> =
            rows.iter().map(|row| row.iter().map(|text| Cell::new(text)).collect()).collect();
        let mut out = Vec::new();
        write(&mut out, &rows, 1, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_never_cut_in_a_pipe() {
        let rows: &[&[&str]] = &[&["a", "bcd", "e"], &["漢字", "f", &"g".repeat(300)]];
        assert_eq!(shown(rows, None), format!("a     bcd  e\n漢字  f    {}\n", "g".repeat(300)));
    }

    #[test]
    fn on_a_terminal_one_column_gives_way_and_no_line_is_longer() {
        let rows: &[&[&str]] = &[&["1795346032.441044312", "refs/heads/a-branch-with-a-long-name", "12s"]];
        assert_eq!(shown(rows, Some(40)), "1795346032.441044312  refs/heads/a…  12s\n");
        assert_eq!(shown(rows, Some(10)), "179534603…\n");
    }

    #[test]
    fn text_from_outside_cannot_begin_a_line() {
        assert_eq!(shown(&[&["a\nb\x1b[2J", "\u{202e}c"]], None), "a\\nb\\x1b[2J  \\u{202e}c\n");
    }
}
