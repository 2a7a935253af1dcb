//! `floe sql`: read-only queries, from an argument, a file, standard input or a prompt.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::Path,
};

use datafusion::arrow::array::RecordBatch;
use floe_graph::definition::{Reading, ReadingKind, ReadingStatements, SourceFile};
use futures::StreamExt;

use super::Outcome;
use crate::{
    args::Sql,
    engine_failure::engine_error,
    failure::Failure,
    output::{Paint, Terminal, rows},
    query::{Engine, invalid},
    settings::{Environment, Settings},
    update,
};

pub(super) async fn sql(sql: &Sql, environment: &Environment, terminal: &Terminal) -> Outcome {
    let settings = Settings { reads_later_queries: true, ..Settings::resolve(&sql.project, environment) };
    let (name, text) = match (&sql.command, &sql.file) {
        (Some(text), _) => ("<command>".to_string(), Some(text.clone())),
        (None, Some(file)) => (file.display().to_string(), Some(read_file(file)?)),
        (None, None) if std::io::stdin().is_terminal() => ("<prompt>".to_string(), None),
        (None, None) => {
            ("<stdin>".to_string(), Some(std::io::read_to_string(std::io::stdin()).map_err(|error| unreadable("standard input", error))?))
        }
    };
    let resolved = Box::pin(update::resolve(super::load(&settings, terminal)?, &settings)).await?;
    let console = Console { engine: Engine::new(resolved, &settings)?, terminal: terminal.clone(), max_rows: sql.max_rows };
    match text {
        Some(text) => Box::pin(console.run_all(&name, &text)).await,
        None => Box::pin(console.prompt()).await,
    }
}

fn read_file(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| unreadable(&file.display().to_string(), error))
}

fn unreadable(what: &str, error: std::io::Error) -> Failure {
    Failure::user("FILE_NOT_READABLE", format!("{what} cannot be read: {error}")).caused_by(error)
}

struct Console {
    engine: Engine,
    terminal: Terminal,
    max_rows: usize,
}

impl Console {
    /// All statements of `text`, up to the first that fails.
    async fn run_all(&self, name: &str, text: &str) -> Outcome {
        let mut reader = self.engine.statements();
        self.run_with(&mut reader, name, text).await
    }

    /// The same; what `SET` has said to `reader` holds.
    async fn run_with(&self, reader: &mut ReadingStatements, name: &str, text: &str) -> Outcome {
        for statement in statements(text) {
            let read = reader.parse(&SourceFile::new(name, statement.as_str())).map_err(|error| invalid(vec![error]));
            let outcome = match read {
                Ok(statements) => Box::pin(self.run(&statements)).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = outcome {
                self.terminal.query_failure(&failure, name, &statement);
                return Ok(failure.class.exit_code());
            }
        }
        Ok(0)
    }

    async fn run(&self, statements: &[Reading]) -> Result<(), Failure> {
        for reading in statements {
            let prepared = Box::pin(self.engine.prepare_reading(reading)).await?;
            match &reading.kind {
                ReadingKind::Explain(_) => self.terminal.out(&super::explain::plans(&prepared, self.terminal.color_out)),
                // A setting has nothing to show.
                ReadingKind::Set { .. } => {}
                _ if self.terminal.is_json() => {
                    let batches = self.collect(prepared.stream()?, usize::MAX).await?;
                    self.terminal.document(&rows::json(&batches).map_err(unprintable)?);
                }
                _ => {
                    let limit = if self.max_rows == 0 { usize::MAX } else { self.max_rows };
                    let schema = prepared.schema.clone();
                    let batches = self.collect(prepared.stream()?, limit).await?;
                    self.terminal.out(&rows::table(&schema, &batches, limit, &self.terminal.hidden()).map_err(unprintable)?);
                }
            }
        }
        Ok(())
    }

    /// The first rows of a result: one more than `limit`, so that it is seen whether there are more.
    async fn collect(
        &self,
        mut stream: datafusion::execution::SendableRecordBatchStream,
        limit: usize,
    ) -> Result<Vec<RecordBatch>, Failure> {
        let (mut batches, mut count) = (Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(engine_error)?;
            count += batch.num_rows();
            batches.push(batch);
            if count > limit {
                break;
            }
        }
        Ok(batches)
    }

    /// Reads statements from the terminal until its end. A failed one is shown and forgotten.
    async fn prompt(&self) -> Outcome {
        let pipeline = &self.engine.resolved().project.name;
        self.terminal.err(&format!("{pipeline}: statements end with ; and only read. \\d lists the datasets, \\q ends."));
        let mut text = String::new();
        let mut reader = self.engine.statements();
        loop {
            let sign = if text.is_empty() { "floe> " } else { "   -> " };
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "{}", Paint::Cyan.on(sign, self.terminal.color_err)).and_then(|()| stderr.flush());
            let mut line = String::new();
            // The prompt has nothing else to do while it waits.
            if std::io::stdin().lock().read_line(&mut line).is_ok_and(|bytes| bytes == 0) {
                self.terminal.err("");
                return Ok(0);
            }
            match line.trim() {
                "\\q" => return Ok(0),
                "exit" | "quit" | "exit;" | "quit;" if text.is_empty() => return Ok(0),
                "\\d" if text.is_empty() => self.list_datasets(),
                _ => text.push_str(&line),
            }
            if text.trim().is_empty() {
                text.clear();
            } else if is_complete(&text) {
                let _ = Box::pin(self.run_with(&mut reader, "<prompt>", &text)).await;
                text.clear();
            }
        }
    }

    fn list_datasets(&self) {
        let resolved = self.engine.resolved();
        let namespace = &resolved.project.input.namespace;
        let names: Vec<String> = resolved.graph.datasets.keys().map(|name| name.short(namespace)).collect();
        self.terminal.out(&format!("{}\nevent_log", names.join("\n")));
    }
}

fn unprintable(error: datafusion::arrow::error::ArrowError) -> Failure {
    Failure::internal(format!("the result cannot be printed: {error}")).caused_by(error)
}

/// Bytes of blanks and comments at the start of `text`.
fn skip_comments(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            return text.len() - rest.len();
        }
    }
}

/// True if the text ends with `;` outside of quotes and comments.
fn is_complete(text: &str) -> bool {
    split(text).1.trim().is_empty()
}

/// The statements of `text`, without the empty ones. Each begins with as many line ends as stand before it, so that lines count as in the text.
fn statements(text: &str) -> Vec<String> {
    let (mut found, rest) = split(text);
    found.push(rest);
    found.retain(|statement| skip_comments(statement) < statement.len());
    found
}

/// The statements that end with `;`, and what comes after the last.
fn split(text: &str) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let mut start = 0;
    let mut lines = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let end = match c {
            '\'' | '"' | '`' => quoted(text, at, c),
            '-' if text[at..].starts_with("--") => text[at..].find('\n').map_or(text.len(), |length| at + length),
            '/' if text[at..].starts_with("/*") => text[at + 2..].find("*/").map_or(text.len(), |length| at + length + 4),
            _ => at + c.len_utf8(),
        };
        if c == ';' {
            found.push(format!("{}{}", "\n".repeat(lines), &text[start..at]));
            lines = text[..end].matches('\n').count();
            start = end;
        }
        at = end;
    }
    let rest = &text[start..];
    (found, if rest.trim().is_empty() { String::new() } else { format!("{}{rest}", "\n".repeat(lines)) })
}

/// Where the quoted text that begins at `at` ends. A backslash escapes, except between backticks.
fn quoted(text: &str, at: usize, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text[at + 1..].char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return at + 1 + i + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let text = "SELECT 'a;b', \"c\\\";d\" -- x;\nFROM `t;`; /* ; */ SELECT 1;\n\n;";
        assert_eq!(statements(text), ["SELECT 'a;b', \"c\\\";d\" -- x;\nFROM `t;`", "\n /* ; */ SELECT 1"]);
        assert!(is_complete("SELECT 1;"));
        assert!(!is_complete("SELECT ';"));
    }
}
