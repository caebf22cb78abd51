//! CSV that a spreadsheet can open without harm: RFC 4180 with CRLF, formulas neutralised, files under 20 MB.

/// Largest CSV file, in bytes; what governance tools accept.
pub const MAX_CSV_BYTES: usize = 20_000_000;

/// A cell as it is written: one that a spreadsheet would take for a formula gets a leading `'`.
pub fn cell(text: &str) -> std::borrow::Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

/// Builds one list, split into parts that each repeat the header.
#[derive(Debug)]
pub struct CsvWriter {
    header: Vec<u8>,
    parts: Vec<Vec<u8>>,
    max_bytes: usize,
}

impl CsvWriter {
    /// A list with these columns and parts of at most [`MAX_CSV_BYTES`].
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with_limit(columns, MAX_CSV_BYTES)
    }

    fn with_limit<'a>(columns: impl IntoIterator<Item = &'a str>, max_bytes: usize) -> Self {
        let header = record(columns);
        Self { parts: vec![header.clone()], header, max_bytes }
    }

    /// Adds a row. A row that alone passes the limit stands in a part of its own.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        let row = record(cells);
        let full = self.parts.last().is_none_or(|part| {
            part.len() > self.header.len() && part.len() + row.len() > self.max_bytes
        });
        if full {
            self.parts.push(self.header.clone());
        }
        if let Some(part) = self.parts.last_mut() {
            part.extend_from_slice(&row);
        }
    }

    /// The files: `<stem>.csv`, or `<stem>-1.csv`, `<stem>-2.csv`, … when there are several parts.
    pub fn finish(self, stem: &str) -> Vec<(String, Vec<u8>)> {
        if self.parts.len() == 1 {
            return self.parts.into_iter().map(|part| (format!("{stem}.csv"), part)).collect();
        }
        (1..).zip(self.parts).map(|(n, part)| (format!("{stem}-{n}.csv"), part)).collect()
    }
}

fn record<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let cells: Vec<_> = cells.into_iter().map(cell).collect();
    writer
        .write_record(cells.iter().map(|cell| cell.as_bytes()))
        .expect("a single record in memory cannot fail");
    writer.into_inner().expect("flushing into memory cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_text() {
        let mut list = CsvWriter::new(["a", "b"]);
        list.row(["=HYPERLINK(\"http://x\")", "@SUM(1)"]);
        list.row(["plain, with comma", "-1\r\n+2"]);
        let files = list.finish("population");
        let text = std::str::from_utf8(&files[0].1).unwrap();
        assert_eq!(files[0].0, "population.csv");
        assert_eq!(
            text,
            "a,b\r\n\"'=HYPERLINK(\"\"http://x\"\")\",'@SUM(1)\r\n\"plain, with comma\",\"'-1\r\n+2\"\r\n"
        );
    }

    #[test]
    fn long_lists_are_split_and_lose_nothing() {
        let mut list = CsvWriter::with_limit(["n"], 40);
        for n in 0..100 {
            list.row([n.to_string().as_str()]);
        }
        let files = list.finish("x");
        assert!(files.len() > 1 && files.iter().all(|(_, part)| part.len() <= 40));
        assert_eq!(files[1].0, "x-2.csv");
        let rows: usize = files
            .iter()
            .map(|(_, part)| part.iter().filter(|byte| **byte == b'\n').count() - 1)
            .sum();
        assert_eq!(rows, 100);
    }
}
