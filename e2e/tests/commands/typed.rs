//! One command line and what became of it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use floe_e2e::{programs, tenant::Tenant};
use serde_json::Value;
use tokio::process::Command;

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    /// Standard output without the line end.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The code is as wanted, or the test ends with all that was said.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Both streams together hold each of `texts`.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) {
        let all = format!("{}\n{}", self.out, self.err);
        for text in texts {
            assert!(all.contains(text), "no {text:?} in {self:#?}");
        }
    }
}

/// A person at a terminal, in one namespace.
pub struct Person {
    kubeconfig: PathBuf,
    namespace: String,
}

impl Person {
    /// The administrator.
    pub fn of(tenant: &Tenant) -> Self {
        Self::with(tenant, tenant.server.kubeconfig())
    }

    /// Whoever this kubeconfig belongs to.
    pub fn with(tenant: &Tenant, kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_path_buf(), namespace: tenant.name.clone() }
    }

    /// Types `floe job <line>`; words are parted at blanks.
    pub async fn job(&self, line: &str) -> anyhow::Result<Said> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["-n", &self.namespace]);
        typed(&[&["job"], words.as_slice()].concat(), Some(&self.kubeconfig)).await
    }
}

/// Types `floe <words>`.
pub async fn typed(words: &[&str], kubeconfig: Option<&Path>) -> anyhow::Result<Said> {
    let mut command = Command::new(programs::ours("floe")?);
    command.args(words).env_clear().env("HOME", "/nowhere").stdin(Stdio::null()).kill_on_drop(true);
    if let Some(kubeconfig) = kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    let output = command.output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_string();
    Ok(Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
}
