//! A way to a server that loses what it is told to lose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The type of the HTTP/2 frame that an answer begins with.
const HEADERS: u8 = 1;
const FRAME_HEAD_BYTES: usize = 9;

#[derive(Debug)]
struct State {
    target: watch::Sender<SocketAddr>,
    /// Counts the cuts; every connection ends when it moves.
    cuts: watch::Sender<usize>,
    answers_to_lose: AtomicUsize,
    answers_lost: AtomicUsize,
    is_closed: AtomicBool,
    refused: watch::Sender<usize>,
}

/// A TCP proxy that understands as much of HTTP/2 as it takes to lose an answer: the request has come through and has
/// been carried out, and instead of the answer there is the end of the connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Link {
    pub(super) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            target: watch::Sender::new(target),
            cuts: watch::Sender::new(0),
            answers_to_lose: AtomicUsize::new(0),
            answers_lost: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            refused: watch::Sender::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Before it is asked whether the way is closed, so that no cut goes unseen in between.
                let cuts = shared.cuts.subscribe();
                if shared.is_closed.load(Ordering::SeqCst) {
                    shared.refused.send_modify(|refused| *refused += 1);
                } else {
                    tokio::spawn(carry(client, Arc::clone(&shared), cuts));
                }
            }
        });
        Self { address, state, accepting }
    }

    /// Loses the next answers, each with its connection.
    pub(super) fn lose_answers(&self, count: usize) {
        self.state.answers_to_lose.store(count, Ordering::SeqCst);
    }

    /// How many answers were lost so far.
    pub(super) fn answers_lost(&self) -> usize {
        self.state.answers_lost.load(Ordering::SeqCst)
    }

    /// Cuts every connection.
    pub(super) fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection, and each new one at once.
    pub(super) fn close(&self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Waits until so many connections were refused so.
    pub(super) async fn until_refused(&self, count: usize) {
        self.state.refused.subscribe().wait_for(|refused| *refused >= count).await.unwrap();
    }

    pub(super) fn open(&self) {
        self.state.is_closed.store(false, Ordering::SeqCst);
    }

    /// Leads new connections to another server.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        self.state.target.send_replace(target);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn carry(client: TcpStream, state: Arc<State>, mut cuts: watch::Receiver<usize>) {
    let target = *state.target.borrow();
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = answers(from_server, to_client, &state) => {}
        _ = cuts.changed() => {}
    }
}

/// Hands on what the server sends, frame by frame, up to an answer that is to be lost.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) -> std::io::Result<()> {
    loop {
        let mut head = [0; FRAME_HEAD_BYTES];
        from.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut payload).await?;
        let one_less = |left: usize| left.checked_sub(1);
        if head[3] == HEADERS
            && state.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        {
            state.answers_lost.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        to.write_all(&head).await?;
        to.write_all(&payload).await?;
    }
}
