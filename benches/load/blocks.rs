//! The header blocks of calls, as a client over the `h2` crate sends them: HPACK's table, its Huffman code and all.
//!
//! A connection's first call puts the path and the rest into the server's table; the blocks of all later ones depend on the
//! account alone, so that they are made once and only copied from then on.

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tonic::codegen::http::{Request, Version};

use crate::Result;
use crate::frames::{FRAME_HEAD, Head, PREFACE};
use crate::world::Account;

/// The blocks of one kind of call.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// For the first call of a connection, which is the first account's.
    pub(crate) opening: Vec<u8>,
    /// For each account's calls after it.
    pub(crate) later: Vec<Vec<u8>>,
}

/// As a client's own limit before it hears of the server's.
const STREAMS_MAX: usize = 100_000;
const ROOM: usize = 64 * 1024 * 1024;

impl Blocks {
    /// Lets a client write all of them to nobody.
    pub(crate) async fn make(method: &str, authority: &str, accounts: &[Account]) -> Result<Self> {
        let (client, mut written) = tokio::io::duplex(ROOM);
        let (mut requests, driver) = h2::client::Builder::new()
            .initial_max_send_streams(STREAMS_MAX)
            .handshake::<_, Bytes>(client)
            .await?;
        let driver = tokio::spawn(driver);
        let mut preface = [0; PREFACE.len()];
        written.read_exact(&mut preface).await?;
        let mut blocks = Vec::with_capacity(accounts.len() + 1);
        for account in accounts.first().into_iter().chain(accounts) {
            let request = Request::builder()
                .method("POST")
                .uri(format!("http://{authority}/taskwire.v1.TaskService/{method}"))
                .version(Version::HTTP_2)
                .header("te", "trailers")
                .header("content-type", "application/grpc")
                .header("authorization", account.bearer().to_str()?)
                .header("user-agent", "tonic/0.14")
                .body(())?;
            requests = requests.ready().await?;
            let _answer = requests.send_request(request, true)?;
            blocks.push(next_block(&mut written).await?);
        }
        driver.abort();
        let later = blocks.split_off(1);
        Ok(Self { opening: blocks.pop().unwrap_or_default(), later })
    }
}

async fn next_block(written: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<Vec<u8>> {
    loop {
        let mut head = [0; FRAME_HEAD];
        written.read_exact(&mut head).await?;
        let head = Head::read(&head);
        let mut payload = vec![0; head.length];
        written.read_exact(&mut payload).await?;
        if head.is_headers() {
            return Ok(payload);
        }
    }
}
