//! One letter through a mail server.

use std::{fmt, time::Duration};

use floe_crds::run::notify::{Letter, Tried, Verdict, of_smtp};
use jiff::Timestamp;
use lettre::{
    Message, SmtpTransport, Transport,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use crate::{Fault, causes};

/// Longest time that the server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub encryption: Encryption,
    /// Who writes, e.g. `Floe <floe@example.com>`.
    pub from: String,
    /// Who logs in.
    pub login: Option<Login>,
    /// Certificates (PEM) of authorities that are trusted too.
    pub ca: Option<Vec<u8>>,
}

/// How the way to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Begins in the clear and must change to TLS.
    StartTls,
    /// TLS from the start.
    Tls,
    /// Not at all.
    None,
}

/// Who logs in.
#[derive(Clone)]
pub struct Login {
    /// Name of the account.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// Sends letters.
#[derive(Clone)]
pub struct Mailer {
    transport: SmtpTransport,
    from: Mailbox,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Sends through `server`. A password never goes over a way that is not protected.
    pub fn new(server: &SmtpServer) -> Result<Self, Fault> {
        let from: Mailbox =
            server.from.parse().map_err(|error| Fault::Smtp(format!("'{}' is no address of a sender: {error}", server.from)))?;
        if server.login.is_some() && server.encryption == Encryption::None {
            return Err(Fault::Smtp("a login needs TLS or StartTls: a password is never sent in the clear".to_string()));
        }
        let hello = ClientId::Domain(from.email.domain().to_string());
        let builder = SmtpTransport::builder_dangerous(&server.host).port(server.port).timeout(Some(PATIENCE)).hello_name(hello);
        let mut builder = builder.tls(match server.encryption {
            Encryption::None => Tls::None,
            Encryption::StartTls => Tls::Required(tls(server)?),
            Encryption::Tls => Tls::Wrapper(tls(server)?),
        });
        if let Some(Login { user, password }) = &server.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        Ok(Self { transport: builder.build(), from })
    }

    /// Makes one try at `now` to send `letter` to all of `to`. `key` is the same in all tries.
    pub async fn send(&self, letter: &Letter, to: &[String], key: &str, now: Timestamp) -> Tried {
        let message = match self.message(letter, to, key, now) {
            Ok(message) => message,
            Err(problem) => return Tried::given_up(problem),
        };
        let transport = self.transport.clone();
        // The asynchronous transport of the library brings features that the crates of the query engine would have to be built with.
        match tokio::task::spawn_blocking(move || transport.send(&message)).await {
            Ok(Ok(_)) => Tried::delivered(),
            Ok(Err(error)) => failed(&error),
            Err(error) => Tried::again(format!("the letter was not sent: {error}")),
        }
    }

    fn message(&self, letter: &Letter, to: &[String], key: &str, now: Timestamp) -> Result<Message, String> {
        let mut builder = Message::builder().from(self.from.clone()).date(now.into()).message_id(Some(format!("<{key}@floe.dev>")));
        for address in to {
            builder = builder.to(address.parse::<Mailbox>().map_err(|error| format!("'{address}' is no address: {error}"))?);
        }
        let builder = builder.subject(letter.subject.clone()).header(ContentType::TEXT_PLAIN);
        builder.body(letter.text.clone()).map_err(|error| error.to_string())
    }
}

fn tls(server: &SmtpServer) -> Result<TlsParameters, Fault> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(pem) = &server.ca {
        let certificate = Certificate::from_pem(pem).map_err(|error| Fault::Smtp(format!("the certificate of the authority: {error}")))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| Fault::Smtp(format!("TLS: {error}")))
}

fn failed(error: &smtp::Error) -> Tried {
    let code = error.status().map(u16::from);
    let message = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    let message = match code {
        Some(code) => format!("the mail server answered {code}: {message}"),
        None => format!("the mail server: {message}"),
    };
    match of_smtp(code) {
        Verdict::GivenUp => Tried::given_up(message),
        _ => Tried::again(message),
    }
}
