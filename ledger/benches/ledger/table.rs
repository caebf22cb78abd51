//! The one table.

use std::fmt;

/// What a line must reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Stated, not judged.
    None,
}

pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) ours: String,
    pub(crate) baseline: String,
    /// What the target speaks of.
    pub(crate) judged: f64,
    pub(crate) target: Target,
}

#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    /// Shows the line at once, and keeps it for the end.
    pub(crate) fn push(&mut self, line: Line) {
        eprintln!("{line}");
        self.0.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| line | ours | baseline, same run | judged | target | reached |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, ours, baseline, judged, target } = self;
        let (target, reached) = match target {
            Target::AtLeast(bound) => (format!("≥ {}", number(*bound)), judged >= bound),
            Target::AtMost(bound) => (format!("≤ {}", number(*bound)), judged <= bound),
            Target::None => return write!(f, "| {what} | {ours} | {baseline} | | stated | |"),
        };
        let reached = if reached { "yes" } else { "**no**" };
        write!(f, "| {what} | {ours} | {baseline} | {} | {target} | {reached} |", number(*judged))
    }
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => thousands(value.round() as i64),
        middle if middle >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}
