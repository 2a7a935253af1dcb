//! A mail server that keeps what it gets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Certificate of who signed that of the server.
pub const AUTHORITY: &[u8] = include_bytes!("authority.pem");

trait Way: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Way for T {}

/// A letter with what was said before it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The commands.
    pub commands: Vec<String>,
    /// The letter.
    pub data: String,
    /// It came by TLS.
    pub encrypted: bool,
}

/// A mail server on a port of its own.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

#[derive(Clone)]
struct Rules {
    /// Answer to MAIL.
    answer: &'static str,
    /// TLS from the first byte.
    wrapped: bool,
    /// STARTTLS is offered.
    starttls: bool,
    tls: TlsAcceptor,
}

impl Sink {
    pub async fn start(answer: &'static str, wrapped: bool, starttls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        let rules = Rules { answer, wrapped, starttls, tls: acceptor() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, rules.clone(), kept.clone()));
            }
        });
        Self { address, received }
    }

    /// What came, once `count` connections have ended.
    pub async fn received(&self, count: usize) -> Vec<Received> {
        for _ in 0..500 {
            if self.received.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.received.lock().unwrap().clone()
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("server.key")).unwrap();
    let builder =
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

/// One connection; nothing is kept of one that was not encrypted as it should be.
async fn serve(stream: tokio::net::TcpStream, rules: Rules, kept: Arc<Mutex<Vec<Received>>>) {
    let mut letter = Received { encrypted: rules.wrapped, ..Received::default() };
    let way: Box<dyn Way> = if rules.wrapped {
        let Ok(stream) = rules.tls.accept(stream).await else { return };
        Box::new(stream)
    } else {
        Box::new(stream)
    };
    let _ = talk(way, &rules, &mut letter).await;
    kept.lock().unwrap().push(letter);
}

async fn talk(way: Box<dyn Way>, rules: &Rules, letter: &mut Received) -> std::io::Result<()> {
    let mut way = BufReader::new(way);
    way.write_all(b"220 sink\r\n").await?;
    loop {
        let mut line = String::new();
        if way.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_string();
        letter.commands.push(line.clone());
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" if rules.starttls && !letter.encrypted => "250-sink\r\n250 STARTTLS\r\n".to_string(),
            "EHLO" => "250-sink\r\n250 AUTH PLAIN\r\n".to_string(),
            "STARTTLS" => {
                way.write_all(b"220 go\r\n").await?;
                letter.encrypted = true;
                way = BufReader::new(Box::new(rules.tls.accept(way.into_inner()).await?));
                continue;
            }
            "AUTH" => "235 hello\r\n".to_string(),
            "MAIL" => format!("{}\r\n", rules.answer),
            "DATA" => {
                way.write_all(b"354 go\r\n").await?;
                read_letter(&mut way, &mut letter.data).await?;
                "250 kept\r\n".to_string()
            }
            "QUIT" => {
                way.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok\r\n".to_string(),
        };
        way.write_all(answer.as_bytes()).await?;
    }
}

async fn read_letter(way: &mut BufReader<Box<dyn Way>>, data: &mut String) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if way.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(());
        }
        data.push_str(&line);
    }
}
