//! Lines on stdout.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line on stdout, as `println!` does, but ends quietly when nobody reads any more, such as `head`.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::line(format_args!($($text)*))
    };
}
pub(crate) use say;

/// Prints one line.
pub(crate) fn line(text: Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}") {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("exhibit: stdout cannot be written: {error}");
        }
        std::process::exit(i32::from(error.kind() != ErrorKind::BrokenPipe) * 2);
    }
}
