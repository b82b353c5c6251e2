//! A receiver of webhooks on this machine, which answers as it is told and keeps what it got.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// What was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) timestamp: i64,
    pub(crate) signature: String,
    pub(crate) body: String,
    /// Whether it was answered with a success.
    pub(crate) was_taken: bool,
}

impl Message {
    /// The type of the event.
    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The title of the task that it tells of.
    pub(crate) fn title(&self) -> String {
        self.json()["data"]["task"]["title"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether one of the signatures is of this secret, reckoned here anew.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let expected = STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
        self.signature.split(' ').any(|one| one == format!("v1,{expected}"))
    }
}

/// How it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With this status, and a header.
    Status(u16, Option<(&'static str, String)>),
    /// With so many bytes.
    Long(usize),
    /// Never.
    Never,
}

impl Answer {
    /// With this status.
    pub(crate) const fn status(code: u16) -> Self {
        Self::Status(code, None)
    }
}

#[derive(Debug)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    got: UnboundedSender<Message>,
}

/// A receiver. It takes everything, unless it is told otherwise.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    script: Arc<Script>,
    got: UnboundedReceiver<Message>,
    closing: Arc<Notify>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, got) = unbounded_channel();
        let script = Arc::new(Script { answers: Mutex::default(), got: sender });
        let closing = Arc::new(Notify::new());
        let (shared, closed) = (Arc::clone(&script), Arc::clone(&closing));
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = closed.notified() => break,
                };
                let script = Arc::clone(&shared);
                let service = service_fn(move |request| receive(Arc::clone(&script), request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            drop(listener);
            connections.shutdown().await;
        });
        Self { address, script, got, closing, serving }
    }

    /// Goes away: when this is done, nobody is there any more.
    pub(crate) async fn stop(mut self) {
        self.closing.notify_one();
        (&mut self.serving).await.unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Has it answer so, one after the other, before it takes everything again.
    pub(crate) fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.answers.lock().unwrap().extend(answers);
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Message {
        self.got.recv().await.unwrap()
    }

    /// The next messages.
    pub(crate) async fn some(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await);
        }
        messages
    }

    /// Whether nothing came that was not looked at.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.got.try_recv().is_err()
    }
}

async fn receive(
    script: Arc<Script>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    assert_eq!(request.method(), "POST");
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert!(header("user-agent").starts_with("taskwire/"));
    let (id, signature) = (header("webhook-id"), header("webhook-signature"));
    let timestamp = header("webhook-timestamp").parse().unwrap();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let answer = script.answers.lock().unwrap().pop_front().unwrap_or(Answer::status(204));
    let was_taken = matches!(answer, Answer::Status(200..=299, _) | Answer::Long(_));
    let _ = script.got.send(Message { id, timestamp, signature, body, was_taken });
    Ok(match answer {
        Answer::Status(code, header) => {
            let mut response = Response::builder().status(code);
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            let text = if code == 204 { "" } else { "what the receiver says" };
            response.body(Full::from(text)).unwrap()
        }
        Answer::Long(bytes) => Response::new(Full::from(vec![b'x'; bytes])),
        Answer::Never => std::future::pending().await,
    })
}
