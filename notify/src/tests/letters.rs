//! Letters through a real mail server.

use floe_crds::run::notify::{Letter, Tried, Verdict};
use jiff::Timestamp;

use super::sink::{AUTHORITY, Sink};
use crate::{Encryption, Login, Mailer, SmtpServer};

fn server(sink: &Sink, encryption: Encryption, trusted: bool) -> SmtpServer {
    SmtpServer {
        host: "localhost".to_string(),
        port: sink.address.port(),
        encryption,
        from: "Floe <floe@example.org>".to_string(),
        login: (encryption != Encryption::None).then(|| Login { user: "floe".to_string(), password: "secret".to_string() }),
        ca: trusted.then(|| AUTHORITY.to_vec()),
    }
}

async fn send(server: &SmtpServer, to: &[&str]) -> Tried {
    let letter = Letter { subject: "[Floe] data/nightly FAILED".to_string(), text: "Job: data/nightly\nMessage: größer\n".to_string() };
    let to: Vec<String> = to.iter().map(ToString::to_string).collect();
    Mailer::new(server).unwrap().send(&letter, &to, "abc", Timestamp::from_second(1_769_824_800).unwrap()).await
}

#[tokio::test]
async fn j02_letters_go_by_starttls_tls_or_if_asked_for_in_the_clear() {
    for (encryption, wrapped, login) in
        [(Encryption::StartTls, false, true), (Encryption::Tls, true, true), (Encryption::None, false, false)]
    {
        let sink = Sink::start("250 ok", wrapped, encryption == Encryption::StartTls).await;
        let tried = send(&server(&sink, encryption, true), &["data@example.org", "Ops <ops@example.org>"]).await;
        assert_eq!(tried, Tried::delivered(), "{encryption:?}");
        let letter = sink.received(1).await.remove(0);
        assert_eq!(letter.encrypted, encryption != Encryption::None);
        assert_eq!(letter.commands.iter().any(|command| command.starts_with("AUTH PLAIN ")), login, "{:?}", letter.commands);
        let recipients: Vec<&String> = letter.commands.iter().filter(|command| command.starts_with("RCPT")).collect();
        assert_eq!(recipients, ["RCPT TO:<data@example.org>", "RCPT TO:<ops@example.org>"]);
        for line in [
            "From: Floe <floe@example.org>",
            "Message-ID: <abc@floe.dev>",
            "Subject: [Floe] data/nightly FAILED",
            "Date: Sat, 31 Jan 2026 02:00:00 +0000",
            "charset=utf-8",
            "Job: data/nightly",
        ] {
            assert!(letter.data.contains(line), "{line} is not in {}", letter.data);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_or_offers_no_tls_gets_neither_login_nor_letter() {
    let unknown = Sink::start("250 ok", false, true).await;
    let tried = send(&server(&unknown, Encryption::StartTls, false), &["data@example.org"]).await;
    assert_eq!(tried.verdict, Verdict::Again);
    assert!(tried.message.contains("certificate"), "{}", tried.message);
    let plain = Sink::start("250 ok", false, false).await;
    assert_eq!(send(&server(&plain, Encryption::StartTls, true), &["data@example.org"]).await.verdict, Verdict::Again);
    for sink in [unknown, plain] {
        let said: Vec<String> = sink.received(1).await.into_iter().flat_map(|letter| letter.commands).collect();
        assert!(said.iter().all(|command| !command.starts_with("AUTH") && !command.starts_with("MAIL")), "{said:?}");
    }
}

#[tokio::test]
async fn codes_of_the_server_decide_what_follows() {
    let busy = Sink::start("451 later", false, false).await;
    let tried = send(&server(&busy, Encryption::None, false), &["data@example.org"]).await;
    assert_eq!(tried.verdict, Verdict::Again);
    assert!(tried.message.starts_with("the mail server answered 451"), "{}", tried.message);
    let refusing = Sink::start("550 who are you", false, false).await;
    let tried = send(&server(&refusing, Encryption::None, false), &["data@example.org"]).await;
    assert_eq!(tried.verdict, Verdict::GivenUp);
    assert!(tried.message.contains("550"), "{}", tried.message);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = SmtpServer { port: nobody.port(), ..server(&busy, Encryption::None, false) };
    assert_eq!(send(&gone, &["data@example.org"]).await.verdict, Verdict::Again);
    assert_eq!(send(&gone, &["not an address"]).await.verdict, Verdict::GivenUp);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = SmtpServer {
        host: "mail.test".to_string(),
        port: 25,
        encryption: Encryption::None,
        from: "floe@example.org".to_string(),
        login: None,
        ca: None,
    };
    assert!(Mailer::new(&good).is_ok());
    let login = Some(Login { user: "u".to_string(), password: "p".to_string() });
    let clear = Mailer::new(&SmtpServer { login, ..good.clone() }).unwrap_err().to_string();
    assert_eq!(clear, "a login needs TLS or StartTls: a password is never sent in the clear");
    let sender = Mailer::new(&SmtpServer { from: "nobody".to_string(), ..good }).unwrap_err().to_string();
    assert!(sender.starts_with("'nobody' is no address of a sender"), "{sender}");
}
