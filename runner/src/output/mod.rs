//! Everything that the command line prints: results on standard output, progress and errors on standard error.
#![expect(missing_docs, reason = "the fields say what they are")]

pub mod failure;
pub mod job;
pub mod live;
pub mod report;
pub mod rows;
pub mod runs;
pub mod testing;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use crate::{
    args::{Display, OutputFormat},
    event_log::Redaction,
};

/// The two output streams, what they can show, and what they must not: everything that the process prints passes here.
#[expect(clippy::struct_excessive_bools, reason = "each says something else about two independent streams")]
#[derive(Clone, Debug)]
pub struct Terminal {
    pub format: OutputFormat,
    pub quiet: bool,
    pub verbose: u8,
    /// Standard output is a terminal that shows colours.
    pub color_out: bool,
    /// Standard error is a terminal that shows colours.
    pub color_err: bool,
    /// Standard error is a terminal: progress may be drawn over.
    pub live: bool,
    /// The secrets of the project, as soon as it is read.
    hidden: Hidden,
    /// What each line on standard error begins with.
    prefix: String,
}

/// What must not be printed; all copies share it.
#[derive(Clone, Debug, Default)]
pub struct Hidden(Arc<OnceLock<Redaction>>);

impl Hidden {
    /// `text` without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.get().map_or(Cow::Borrowed(text), |redaction| Cow::Owned(redaction.text(text)))
    }
}

/// Standard error without secrets: for the engine's own log, which writes one message at a time.
#[derive(Debug)]
pub struct HiddenStderr(pub Hidden);

impl Write for HiddenStderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write_all(self.0.text(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl Terminal {
    /// The terminal that this process has.
    pub fn of(display: Display, no_color: bool) -> Self {
        let live = std::io::stderr().is_terminal();
        Self {
            format: display.output,
            quiet: display.quiet,
            verbose: display.verbose,
            color_out: !no_color && std::io::stdout().is_terminal(),
            color_err: !no_color && live,
            live: live && !display.quiet,
            hidden: Hidden::default(),
            prefix: String::new(),
        }
    }

    /// The same terminal for one of several that speak at once: each line on standard error begins with its name, and nothing is drawn over.
    #[must_use]
    pub fn with_prefix(&self, name: &str) -> Self {
        let bar = Paint::Dim.on("│", self.color_err);
        Self { prefix: format!("{name} {bar} "), live: false, ..self.clone() }
    }

    /// From here on none of `secrets` is printed.
    pub fn hide(&self, secrets: Vec<String>) {
        // A process reads one project.
        let _ = self.hidden.0.set(Redaction::new(secrets));
    }

    /// What is not printed, for what is not printed by this value.
    pub fn hidden(&self) -> Hidden {
        self.hidden.clone()
    }

    /// True if results are JSON.
    pub fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Prints `text` and a line end to standard output. A reader that has gone (`| head`) is no error.
    pub fn out(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{}", self.hidden.text(text.trim_end_matches('\n'))).and_then(|()| stdout.flush());
    }

    /// Prints `text` and a line end to standard error.
    pub fn err(&self, text: &str) {
        let text = self.hidden.text(text.trim_end_matches('\n'));
        if self.prefix.is_empty() {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
            return;
        }
        // In one piece: others write too.
        let lines: Vec<String> = text.split('\n').map(|line| format!("{}{line}\n", self.prefix)).collect();
        let _ = std::io::stderr().lock().write_all(lines.concat().as_bytes());
    }

    /// Prints a remark to standard error, unless silence was asked for.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.err(text);
        }
    }

    /// Prints one JSON document to standard output.
    pub fn document(&self, value: &Value) {
        self.out(&serde_json::to_string_pretty(value).unwrap_or_default());
    }
}

/// A table with a line below its header and nothing else: what people copy out of it is text.
const HEADER_LINE_ONLY: &str = "     ──            ";

/// Paints text for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Red,
    Green,
    Yellow,
    Blue,
    Cyan,
    Dim,
    Bold,
}

impl Paint {
    /// `text` in this colour if `color`.
    pub fn on(self, text: &str, color: bool) -> String {
        if !color || text.is_empty() {
            return text.to_string();
        }
        let code = match self {
            Self::Red => "31;1",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Cyan => "36",
            Self::Dim => "2",
            Self::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `1234567` → `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `3 files`, `1 file`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A duration as people read it: `35 ms`, `1.2 s`, `2 min 05 s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}
