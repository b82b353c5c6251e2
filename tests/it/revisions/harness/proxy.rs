//! A TCP proxy that cuts its connections off at random.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::random::Random;

/// A way to a server that ends every connection after a random number of bytes answered, half of them by a reset.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    resets: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Leads to `target`. A connection lasts for up to `bytes_max` bytes of answers.
    pub(crate) async fn to(target: SocketAddr, bytes_max: usize, mut random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resets = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&resets);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (bytes, abrupt) = (random.below(bytes_max), random.percent(50));
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    if carry(client, target, bytes, abrupt).await {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, resets, accepting }
    }

    /// How many connections were reset so far.
    pub(crate) fn resets(&self) -> usize {
        self.resets.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries bytes both ways until the answers reach `bytes`; whether it came to that. After an abrupt end the client
/// does not even get what was sent before.
async fn carry(client: TcpStream, target: SocketAddr, bytes: usize, abrupt: bool) -> bool {
    let Ok(server) = TcpStream::connect(target).await else { return false };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if abrupt {
        // When they are dropped, both sides see a reset.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let answering = async {
        let mut left = bytes;
        let mut buffer = vec![0; 4096];
        while left > 0 {
            let size = left.min(buffer.len());
            match from_server.read(&mut buffer[..size]).await {
                Ok(count) if count > 0 && to_client.write_all(&buffer[..count]).await.is_ok() => {
                    left -= count
                }
                _ => return false,
            }
        }
        true
    };
    tokio::select! {
        () = asking => false,
        reset = answering => reset,
    }
}
