//! Where connections come from, and the loop that takes them in: bounded, and patient where the system has no more.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpConnectInfo;
use tower::Service;

use super::address::Address;
use super::connection::{Connections, KEEPALIVE_INTERVAL};
use super::handshakes::{Handshake, Handshakes};
use super::io::Io;
use super::tls::Tls;
use super::unix_socket::{self, SocketFile};
use crate::server::operator::metrics::Ended;

/// Takes connections in.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<Arc<Tls>>,
    hang_ups: Option<Signal>,
}

impl From<Socket> for Listener {
    fn from(socket: Socket) -> Self {
        Self { socket, tls: None, hang_ups: None }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    /// The file stays until the listener goes; it is not ours when systemd made it.
    Unix(UnixListener, Option<SocketFile>),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Socket::Tcp(listener).into()
    }
}

/// Connections that may wait to be taken in; the system may allow fewer.
const WAITING_MAX: i32 = 4096;

impl Listener {
    /// Listens at `address`, or on the first socket that systemd hands over (`LISTEN_FDS`).
    ///
    /// # Errors
    /// When the address is taken or not ours to take.
    pub async fn open(address: &Address) -> io::Result<Self> {
        let mut handed_over = listenfd::ListenFd::from_env();
        // Asked for its kind: each of the two refuses the other's socket.
        if let Ok(Some(listener)) = handed_over.take_unix_listener(0) {
            listener.set_nonblocking(true)?;
            return Ok(Socket::Unix(UnixListener::from_std(listener)?, None).into());
        }
        if let Some(listener) = handed_over.take_tcp_listener(0)? {
            listener.set_nonblocking(true)?;
            return Ok(TcpListener::from_std(listener)?.into());
        }
        match address {
            Address::Tcp(_) | Address::Host(..) => {
                let listener = address.bind().await?;
                // The second time says only how many may wait. Whoever finds the queue full believes to be connected.
                socket2::SockRef::from(&listener).listen(WAITING_MAX)?;
                Ok(listener.into())
            }
            Address::Unix(path) => {
                let (listener, file) = unix_socket::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Socket::Unix(UnixListener::from_std(listener)?, Some(file)).into())
            }
        }
    }

    /// With TLS on every connection. Needs a runtime.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self.hang_ups = Tls::hang_ups();
        self
    }

    /// Keeps TLS as its files are, until `stopped`.
    pub(in crate::server) fn watch_tls(&mut self, stopped: CancellationToken) {
        if let Some(tls) = &self.tls {
            tokio::spawn(Arc::clone(tls).watch(self.hang_ups.take(), stopped));
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            // Its own file was renamed after the socket was bound.
            Socket::Unix(_, Some(file)) => Ok(Address::Unix(file.path().to_owned())),
            Socket::Unix(listener, None) => {
                let path = listener.local_addr()?.as_pathname().map(PathBuf::from);
                Ok(Address::Unix(path.unwrap_or_default()))
            }
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn Io>, TcpConnectInfo)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                prepare(&stream);
                let local = stream.local_addr().ok();
                Ok((Box::new(stream), TcpConnectInfo { local_addr: local, remote_addr: Some(peer) }))
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), TcpConnectInfo { local_addr: None, remote_addr: None }))
            }
        }
    }
}

/// Sets what a connection should have. One that has gone already shows when it is read.
fn prepare(stream: &TcpStream) {
    // Answers are written whole; waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    // Finds peers that went without a word, where HTTP/2 does not ask yet.
    let keepalive =
        socket2::TcpKeepalive::new().with_time(KEEPALIVE_INTERVAL).with_interval(KEEPALIVE_INTERVAL / 3);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// How long to wait when the system has no more files to open. Without it the loop would spin.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Takes connections in until `draining`; answers those that are open then.
pub(in crate::server) async fn accept_all<Stack, ResponseBody>(
    listener: Listener,
    connections: Arc<Connections<Stack>>,
    draining: CancellationToken,
) -> JoinSet<()>
where
    Stack: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>,
    Stack: Clone + Send + Sync + 'static,
    Stack::Future: Send,
    ResponseBody: Body<Data = Bytes> + Unpin + Send + 'static,
    ResponseBody::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections_max = connections.limits().connections();
    // Half of them, so that the silent ones cannot take all places.
    let handshakes = Handshakes::new(connections_max / 2);
    let mut open = JoinSet::new();
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // Closed at once: whoever waits in a queue that does not move learns nothing.
            Ok(_) if open.len() >= connections_max => {
                connections.counts().refused(Ended::TooMany);
                trouble.tell(|| {
                    tracing::warn!(
                        connections_max,
                        "as many connections as there may be; new ones are refused"
                    );
                });
            }
            Ok((io, peer)) => {
                let handshake = handshakes.begin(draining.child_token());
                let (connections, tls) = (Arc::clone(&connections), listener.tls.clone());
                open.spawn(async move {
                    let _counted = connections.counts().open();
                    serve(&connections, tls.as_deref(), io, peer, handshake).await;
                });
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                connections.counts().refused(Ended::Accept);
                trouble.tell(|| {
                    tracing::error!(%error, "connections cannot be taken in; it will be tried again");
                });
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    open
}

async fn serve<Stack, ResponseBody>(
    connections: &Connections<Stack>,
    tls: Option<&Tls>,
    io: Box<dyn Io>,
    peer: TcpConnectInfo,
    handshake: Handshake,
) where
    Stack: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>,
    Stack: Clone + Send + Sync + 'static,
    Stack::Future: Send,
    ResponseBody: Body<Data = Bytes> + Unpin + Send + 'static,
    ResponseBody::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(tls) = tls else {
        return connections.serve(io, peer, handshake).await;
    };
    let closing = handshake.closing();
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(connections.limits().tls_handshake_timeout, tls.accept(io)) => shaken,
        () = closing.cancelled() => return connections.counts().ended(Ended::GaveWay),
    };
    match shaken {
        Ok(Ok(io)) => connections.serve(Box::new(io), peer, handshake).await,
        // At debug: anyone can make it fail, as often as they like.
        Ok(Err(error)) => {
            connections.counts().ended(Ended::Tls);
            tracing::debug!(%error, "a TLS handshake failed");
        }
        Err(_) => {
            connections.counts().ended(Ended::TlsTimeout);
            tracing::debug!("a TLS handshake took too long");
        }
    }
}

/// Speaks of what goes wrong with every connection once in a while, not each time.
#[derive(Debug, Default)]
struct Trouble {
    said: Option<Instant>,
}

impl Trouble {
    const SILENCE: Duration = Duration::from_secs(10);

    fn tell(&mut self, say: impl FnOnce()) {
        if self.said.is_none_or(|said| said.elapsed() >= Self::SILENCE) {
            self.said = Some(Instant::now());
            say();
        }
    }
}

/// Errors of one connection, which say nothing of the next.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
