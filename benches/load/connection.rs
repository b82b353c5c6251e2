//! A connection of the load generator: what tonic's clients send, straight over HTTP/2.
//!
//! tonic's own channel passes a call on twice, through a queue each, before it is written. The generator shares the
//! machine with what it measures, so that what it saves is not taken from there.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::SendRequest;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Uri};
use tonic::codegen::{Body as HttpBody, Service};

use crate::Result;

/// Octets that the server may send before it has to wait, as tonic's channel has it.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 5 * 1024 * 1024;

/// One connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    origin: Uri,
}

impl Connection {
    /// Connects; what is read and written from then on is done by a task of this runtime.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (requests, driver) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake::<_, Bytes>(socket)
            .await?;
        // It ends with the connection; the calls under way hear of it.
        tokio::spawn(driver);
        Ok(Self { requests, origin: format!("http://{address}").parse()? })
    }

    /// Where the calls of a client over this connection go.
    pub(crate) fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

fn unavailable(error: h2::Error) -> Status {
    Status::unavailable(error.to_string())
}

type Answering = Pin<Box<dyn Future<Output = std::result::Result<Response<Answer>, Status>> + Send>>;

impl Service<Request<Body>> for Connection {
    type Response = Response<Answer>;
    type Error = Status;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), Status>> {
        self.requests.poll_ready(context).map_err(unavailable)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut requests = self.requests.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // One message, made already.
            let message = body.collect().await?.to_bytes();
            let (answer, mut stream) =
                requests.send_request(Request::from_parts(head, ()), false).map_err(unavailable)?;
            stream.send_data(message, true).map_err(unavailable)?;
            Ok(answer.await.map_err(unavailable)?.map(|frames| Answer { frames, data_over: false }))
        })
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    frames: h2::RecvStream,
    data_over: bool,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<http_body::Frame<Bytes>, Status>>> {
        if !self.data_over {
            match ready!(self.frames.poll_data(context)) {
                Some(Ok(data)) => {
                    self.frames.flow_control().release_capacity(data.len()).map_err(unavailable)?;
                    return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(unavailable(error)))),
                None => self.data_over = true,
            }
        }
        let trailers = ready!(self.frames.poll_trailers(context)).map_err(unavailable)?;
        Poll::Ready(trailers.map(|trailers| Ok(http_body::Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_end_stream()
    }
}
