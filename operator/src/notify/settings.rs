//! What the operator knows of receivers, the mail server and hosts that may be reached: the file of `--notifications`. Secrets are not in it, but in
//! files that it names; they are read for every try, so a secret that was replaced counts at once.

use std::path::PathBuf;

use floe_notify::{Encryption, IpNet};
use serde::Deserialize;

/// The file of `--notifications`, checked.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    /// Networks that may be reached although they are internal.
    pub allowed: Vec<IpNet>,
    /// Servers that Jobs name.
    pub receivers: Vec<Receiver>,
    /// The mail server.
    pub smtp: Option<Smtp>,
}

/// The file as it is written.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NotificationsFile {
    allowed_cidrs: Vec<String>,
    receivers: Vec<Receiver>,
    smtp: Option<Smtp>,
}

/// A server that Jobs name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receiver {
    /// Its name, unique in the list.
    pub name: String,
    /// Its address; or
    #[serde(default)]
    pub url: Option<String>,
    /// the file that holds it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// The file with the key that signs requests. A file of the same name with `-previous` holds the key before it.
    #[serde(default)]
    pub signing_key_file: Option<PathBuf>,
    /// Headers of requests.
    #[serde(default)]
    pub headers: Vec<ReceiverHeader>,
}

/// A header of requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiverHeader {
    /// Its name.
    pub name: String,
    /// Its value; or
    #[serde(default)]
    pub value: Option<String>,
    /// the file that holds it.
    #[serde(default)]
    pub value_file: Option<PathBuf>,
}

/// The mail server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Smtp {
    /// Its name.
    pub host: String,
    /// Its port.
    #[serde(default = "Smtp::default_port")]
    pub port: u16,
    /// How the way to it is protected.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who writes, e.g. `Floe <floe@example.com>`.
    pub from: String,
    /// The file with the name of the account; none: nobody logs in.
    #[serde(default)]
    pub username_file: Option<PathBuf>,
    /// The file with its password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The file with certificates (PEM) of authorities that are trusted too.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl Smtp {
    fn default_port() -> u16 {
        587
    }
}

/// How the way to the mail server is protected.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begins in the clear and must change to TLS.
    #[default]
    StartTls,
    /// TLS from the start.
    Tls,
    /// Not at all; then nobody logs in.
    None,
}

impl From<SmtpTls> for Encryption {
    fn from(tls: SmtpTls) -> Self {
        match tls {
            SmtpTls::StartTls => Self::StartTls,
            SmtpTls::Tls => Self::Tls,
            SmtpTls::None => Self::None,
        }
    }
}

impl Notifications {
    /// The receiver of this name.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

impl NotificationsFile {
    /// What it says; all mistakes are handed to `problem`.
    pub fn check(self, mut problem: impl FnMut(String)) -> Notifications {
        for (place, receiver) in self.receivers.iter().enumerate() {
            receiver.check(&mut problem);
            if self.receivers[..place].iter().any(|other| other.name == receiver.name) {
                problem(format!("receivers: there are two of the name '{}'", receiver.name));
            }
        }
        if let Some(smtp) = &self.smtp {
            smtp.check(&mut problem);
        }
        let wrong = |text: &str| format!("allowedCidrs: '{text}' is no network, e.g. 10.20.0.0/16");
        let networks = self.allowed_cidrs.iter().filter_map(|text| text.trim().parse().map_err(|_| problem(wrong(text))).ok());
        Notifications { allowed: networks.collect(), receivers: self.receivers, smtp: self.smtp }
    }
}

impl Receiver {
    fn check(&self, problem: &mut impl FnMut(String)) {
        let name = &self.name;
        if name.is_empty() {
            problem("receivers: a name is empty".to_string());
        }
        if self.url.is_some() == self.url_file.is_some() {
            problem(format!("receivers: '{name}' needs exactly one of url, urlFile"));
        }
        for header in self.headers.iter().filter(|header| header.value.is_some() == header.value_file.is_some()) {
            problem(format!("receivers: header {} of '{name}' needs exactly one of value, valueFile", header.name));
        }
    }
}

impl Smtp {
    fn check(&self, problem: &mut impl FnMut(String)) {
        for (key, text) in [("host", &self.host), ("from", &self.from)] {
            if text.trim().is_empty() {
                problem(format!("smtp: {key} is empty"));
            }
        }
        if self.username_file.is_some() != self.password_file.is_some() {
            problem("smtp: usernameFile and passwordFile belong together".to_string());
        }
        if self.username_file.is_some() && self.tls == SmtpTls::None {
            problem("smtp: a login needs tls StartTls or Tls: a password is never sent in the clear".to_string());
        }
    }
}
