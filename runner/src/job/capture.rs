//! What a program says: into a log file, before the eyes of the user with the name of the task, and its last words into the message of a failure.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
};

use crate::{failure::Failure, output::Terminal, storage::io_failure};

/// A longer line is several.
const MAX_LINE: usize = 16 * 1024;
/// A log file ends here; lines are still shown.
const MAX_LOG: usize = 64 << 20;
/// So many last lines of the error output are told.
const LAST_LINES: usize = 5;
/// Most bytes of each of them.
const MAX_LAST_LINE: usize = 200;
/// A program that has ended may have left its output to another one, for which nobody waits longer.
const REST: Duration = Duration::from_secs(2);

/// Reads the outputs of one program.
pub struct Capture {
    terminal: Terminal,
    log: Arc<Mutex<Log>>,
    last: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

struct Log {
    file: File,
    bytes: usize,
}

impl Capture {
    pub fn new(terminal: Terminal, path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| io_failure("write", &path.display().to_string(), error))?;
        Ok(Self { terminal, log: Arc::new(Mutex::new(Log { file, bytes: 0 })), last: Arc::default(), readers: Vec::new() })
    }

    /// Reads `output` from now on; the last lines of the error output are remembered.
    pub fn read(&mut self, output: Option<impl AsyncRead + Unpin + Send + 'static>, is_error: bool) {
        let Some(output) = output else { return };
        let last = is_error.then(|| Arc::clone(&self.last));
        let lines = Lines { terminal: self.terminal.clone(), log: Arc::clone(&self.log), last };
        self.readers.push(tokio::spawn(lines.read(output)));
    }

    /// Waits for the rest of the output; the last lines of the error output.
    pub async fn finish(self) -> String {
        for reader in self.readers {
            let abort = reader.abort_handle();
            if tokio::time::timeout(REST, reader).await.is_err() {
                abort.abort();
            }
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

struct Lines {
    terminal: Terminal,
    log: Arc<Mutex<Log>>,
    last: Option<Arc<Mutex<VecDeque<String>>>>,
}

impl Lines {
    async fn read(self, mut output: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; MAX_LINE];
        let mut open: Vec<u8> = Vec::new();
        while let Ok(count @ 1..) = output.read(&mut buffer).await {
            for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
                open.extend_from_slice(piece);
                if open.ends_with(b"\n") || open.len() >= MAX_LINE {
                    self.line(&open);
                    open.clear();
                }
            }
        }
        if !open.is_empty() {
            self.line(&open);
        }
    }

    fn line(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        self.terminal.note(text);
        {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.bytes < MAX_LOG {
                let hidden = self.terminal.hidden();
                let line = hidden.text(text);
                log.bytes += line.len() + 1;
                // A full disk must not end the program.
                let _ = writeln!(log.file, "{line}");
            }
        }
        if let Some(last) = self.last.as_ref().filter(|_| !text.trim().is_empty()) {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(floe_crds::text::cut(text, MAX_LAST_LINE).to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Display;

    #[tokio::test]
    async fn outputs_are_kept_and_the_last_words_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut capture = Capture::new(Terminal::of(Display { quiet: true, ..Display::default() }, true), &path).unwrap();
        let errors: String = (0..9).fold(String::new(), |text, n| format!("{text}e{n}\n"));
        capture.read(Some(std::io::Cursor::new(errors + "no end of line")), true);
        capture.read(Some(std::io::Cursor::new(b"out \xff\r\n".to_vec())), false);
        assert_eq!(capture.finish().await, "e5\ne6\ne7\ne8\nno end of line");
        let mut lines: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_string).collect();
        lines.sort();
        assert_eq!((lines.len(), lines.last().unwrap().as_str()), (11, "out \u{fffd}"));
    }
}
