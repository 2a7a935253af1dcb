//! Sends notifications: one request to a server, one letter through a mail server. What is sent, when, and what an answer means is decided in
//! `floe_crds::run::notify`.

mod hosts;
mod mail;
#[cfg(test)]
mod tests;
mod webhook;

use std::error::Error;

pub use hosts::{Hosts, Refused};
pub use ipnet::IpNet;
pub use mail::{Encryption, Login, Mailer, SmtpServer};
pub use webhook::{Message, Signing, Webhooks};

/// An error and what caused it, the first cause last.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Requests cannot be made.
    #[error("cannot make requests: {0}")]
    Client(#[source] reqwest::Error),
    /// The settings of the mail server cannot be used.
    #[error("{0}")]
    Smtp(String),
}
