//! A mail server of the tests' own: it keeps what it gets, and refuses, hangs up or hangs when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use taskwire::accounts::AccountsConfig;
use taskwire::domain::EmailVerification;
use taskwire::outbound::MailConfig;
use taskwire::outbound::mail::{Templates, Transport};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::world::{Replica, Setup, World};
use crate::support::database::TestDatabase;
use crate::support::settings;

const TAKE: u8 = 0;
const REFUSE: u8 = 1;
const HANG_UP: u8 = 2;
const HANG: u8 = 3;
/// What a mail is known by that it never got.
const HUNG: &str = "a mail hangs";

/// A mail as it came: to whom, and all of it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Received {
    /// The token behind the `#` of its link.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        let (_, rest) = self.text.split_once("https://app.example/mail#").expect("no link");
        let (_, rest) = rest.split_once('=').expect("no token");
        rest.chars().take_while(|one| one.is_ascii_alphanumeric() || "_-".contains(*one)).collect()
    }
}

/// A world that sends mail, and what keeps it. Mail leaves when the test says so, by `send`.
pub(crate) async fn mailing(database: TestDatabase, mode: EmailVerification) -> (World, MailServer) {
    let server = MailServer::start().await;
    let accounts = AccountsConfig { email_verification: mode, ..settings().accounts() };
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let mail = Some(server.config());
    let setup = Setup { mail, mail_by_hand: true, accounts, proxies, ..Setup::default() };
    (World::with(database, setup), server)
}

/// Sends what is to be sent by now.
pub(crate) async fn send(replica: &Replica) {
    replica.accounts.mailer().send_due().await.unwrap();
}

pub(crate) async fn count(world: &World, table: &str) -> i64 {
    world.database.query_i64(&format!("select count(*) from {table}")).await
}

pub(crate) struct MailServer {
    port: u16,
    mode: Arc<AtomicU8>,
    received: UnboundedReceiver<Received>,
}

impl MailServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, (keep, received)) = (Arc::new(AtomicU8::new(TAKE)), unbounded_channel());
        let asked = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&asked), keep.clone()));
            }
        });
        Self { port, mode, received }
    }

    pub(crate) fn config(&self) -> MailConfig {
        MailConfig {
            transport: Transport::parse(&format!("smtp+plain://127.0.0.1:{}", self.port)).unwrap(),
            from: "Taskwire <no-reply@example.org>".parse().unwrap(),
            link_url: "https://app.example/mail".to_owned(),
            templates: Templates::read(None).unwrap(),
        }
    }

    pub(crate) fn take(&self) {
        self.mode.store(TAKE, Ordering::SeqCst);
    }

    pub(crate) fn refuse(&self) {
        self.mode.store(REFUSE, Ordering::SeqCst);
    }

    /// From now on it takes every mail's beginning, and says nothing more.
    pub(crate) fn hang(&self) {
        self.mode.store(HANG, Ordering::SeqCst);
    }

    /// Waits until a mail hangs.
    pub(crate) async fn until_one_hangs(&mut self) {
        while self.next().await.text != HUNG {}
    }

    pub(crate) fn hang_up(&self) {
        self.mode.store(HANG_UP, Ordering::SeqCst);
    }

    /// The next mail; waits for it.
    pub(crate) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(Duration::from_secs(60), self.received.recv());
        next.await.expect("no mail came").unwrap()
    }

    /// A mail that lies here.
    pub(crate) fn at_once(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }

    /// Passes when no mail lies here.
    #[track_caller]
    pub(crate) fn nothing(&mut self) {
        if let Ok(mail) = self.received.try_recv() {
            panic!("a mail came: {mail:?}");
        }
    }
}

/// One connection. What is said after the data is the last that matters.
async fn serve(stream: TcpStream, mode: Arc<AtomicU8>, keep: UnboundedSender<Received>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 tests\r\n").await.ok()?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match word.as_str() {
            "EHLO" => "250-tests\r\n250 8BITMIME\r\n",
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                "250 yes\r\n"
            }
            "DATA" => match mode.load(Ordering::SeqCst) {
                REFUSE => "451 not now, canary-of-the-server\r\n",
                HANG_UP => return None,
                HANG => {
                    keep.send(Received { to, text: HUNG.to_owned() }).ok()?;
                    return std::future::pending().await;
                }
                _ => {
                    writer.write_all(b"354 go on\r\n").await.ok()?;
                    let mut text = String::new();
                    while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                        // Lines that were broken to be short.
                        match line.strip_suffix('=') {
                            Some(part) => text.push_str(part),
                            None => text.push_str(&format!("{line}\n")),
                        }
                    }
                    let text = text.replace("=3D", "=");
                    keep.send(Received { to: to.clone(), text }).ok()?;
                    "250 kept\r\n"
                }
            },
            "QUIT" => "221 bye\r\n",
            _ => "250 yes\r\n",
        };
        writer.write_all(answer.as_bytes()).await.ok()?;
    }
    Some(())
}
