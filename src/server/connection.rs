//! Listeners and the connections they accept: what is known about a caller before it says a word.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::authenticate::{Budget, ClientCertificate, Known};
use super::tls::Tls;
use crate::domain::{ConnectionId, Roles};

/// What a listener means for whoever calls over it. Being anonymous is a property of the listener, never of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Where agents call. Whoever sends no credential gets these roles.
    Main {
        /// What an anonymous caller may do; none where being anonymous is switched off.
        anonymous: Roles,
    },
    /// The socket in the data directory: the daemon's own user, by the kernel's word.
    Private,
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A machine.
    Tcp(IpAddr),
    /// A user of this machine, and the primary group of its process.
    Unix {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// What peers are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// An IPv4 address, or the network of an IPv6 one: whoever has one such address has them all.
    Address(IpAddr),
    /// A user.
    User(u32),
}

impl Peer {
    /// What callers without a credential are told apart by.
    pub fn known(self) -> crate::domain::Peer {
        match self {
            Self::Unix { uid, .. } => crate::domain::Peer::Uid(uid),
            Self::Tcp(address) => crate::domain::Peer::at(address),
        }
    }

    /// What it is told apart from others by.
    pub fn key(self) -> PeerKey {
        match self {
            Self::Unix { uid, .. } => PeerKey::User(uid),
            Self::Tcp(address) => PeerKey::Address(match address.to_canonical() {
                IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
                v4 @ IpAddr::V4(_) => v4,
            }),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { uid, gid } => write!(f, "uid {uid} gid {gid}"),
        }
    }
}

/// What is known about a connection.
#[derive(Debug)]
pub struct Connection {
    /// Its name while it lasts.
    pub id: ConnectionId,
    /// The listener that accepted it.
    pub listener: Listener,
    /// Who is at the other end.
    pub peer: Peer,
    /// What the other end showed in the handshake of TLS.
    pub certificate: Option<ClientCertificate>,
    /// What it may still get wrong.
    pub failures: Budget,
    /// Whether somebody has been authenticated over it.
    proved: AtomicBool,
}

impl Connection {
    /// A new connection.
    pub fn new(listener: Listener, peer: Peer, certificate: Option<ClientCertificate>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = ConnectionId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        Self { id, listener, peer, certificate, failures: Budget::default(), proved: AtomicBool::new(false) }
    }

    /// Somebody has been authenticated over it.
    pub fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has been.
    pub fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }
}

/// A bound listener.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, removed when the listener ends.
    Unix(UnixListener, SocketFile),
}

/// A socket's place in the file system, removed with its listener.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell at this point.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds a unix socket with these permissions. A socket that a dead daemon left behind is replaced; a living one is not.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<Bound> {
    use std::os::unix::fs::PermissionsExt as _;

    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(error.kind(), "another process listens on this socket"));
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(Bound::Unix(listener, file))
}

/// How a client says that it speaks HTTP/2: `PRI * HTTP/2.0`, and the empty lines and the word after it, in bytes.
const PREFACE_BYTES: usize = 24;

/// A client that has not said yet that it speaks HTTP/2. Keep-alive looks after a connection only from there on.
struct Silence {
    missing: usize,
    /// Resolves when it has been borne long enough, or the daemon stops.
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Silence {
    fn new(patience: Duration, stop: CancellationToken) -> Self {
        let over = async move {
            tokio::select! {
                () = tokio::time::sleep(patience) => {}
                () = stop.cancelled_owned() => {}
            }
        };
        Self { missing: PREFACE_BYTES, over: Box::pin(over) }
    }
}

enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// An accepted connection.
pub struct Stream {
    socket: Socket,
    info: Arc<Connection>,
    silence: Option<Silence>,
    /// Resolves when it has been open for longer than any may be.
    end: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Stream {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.info)
    }
}

/// A listener that is accepting, and where what it accepts goes.
pub struct Door {
    /// What its callers may be.
    pub listener: Listener,
    /// Where TLS comes from, if it speaks that. Each connection takes what is in force when it is opened.
    pub tls: Option<Arc<Known>>,
    /// How long a client may take for the handshake of TLS, and again to say that it speaks HTTP/2.
    pub patience: Duration,
    /// How long a connection may last, whatever is under way on it.
    pub lifetime: Duration,
    /// How many connections there may be.
    pub permits: Arc<Semaphore>,
    /// What serves them.
    pub connections: mpsc::Sender<io::Result<Stream>>,
    /// When to stop.
    pub stop: CancellationToken,
}

/// Accepts connections on one listener and hands them on, until told to stop.
///
/// Over the cap a connection is closed at once: a queue of unserved connections would only hide that there is one.
pub async fn accept(bound: Bound, door: Door) {
    let Door { listener, tls, patience, lifetime, permits, connections, stop } = door;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept_one(&bound) => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, typically: the pause lets some be given back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            tracing::warn!("a connection was closed: --max-connections are open already");
            continue;
        };
        let in_force = tls.as_ref().and_then(|known| known.load().tls.clone());
        let (Tls { config, clients, .. }, socket) = match (in_force, socket) {
            (Some(in_force), Socket::Tcp(socket)) => (in_force, socket),
            // TLS was asked for, and is not to be had: never plaintext instead.
            (None, Socket::Tcp(_)) if tls.is_some() => continue,
            (_, socket) => {
                let silence = Silence::new(patience, stop.clone());
                let stream = Stream::new(socket, Connection::new(listener, peer, None), permit, silence, lifetime);
                if connections.send(Ok(stream)).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let authorities = clients.map_or(0, |authorities| authorities.number);
        // Each handshake by itself: one that dawdles keeps nobody waiting, and holds its place under the cap.
        let (connections, stop) = (connections.clone(), stop.clone());
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(patience, TlsAcceptor::from(config).accept(socket));
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                shaken = handshake => match shaken {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return tracing::debug!(%peer, %error, "a TLS handshake failed"),
                    Err(_) => return tracing::debug!(%peer, "a TLS handshake took too long"),
                },
            };
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = shown.map(|chain| ClientCertificate::read(chain.to_vec(), authorities));
            let connection = Connection::new(listener, peer, certificate);
            let silence = Silence::new(patience, stop);
            let stream = Stream::new(Socket::Tls(Box::new(stream)), connection, permit, silence, lifetime);
            // Nobody serves any more: the daemon is stopping.
            let _ = connections.send(Ok(stream)).await;
        });
    }
}

impl Stream {
    fn new(
        socket: Socket,
        info: Connection,
        permit: OwnedSemaphorePermit,
        silence: Silence,
        lifetime: Duration,
    ) -> Self {
        let end = Box::pin(tokio::time::sleep(lifetime));
        Self { socket, info: Arc::new(info), silence: Some(silence), end, _permit: permit }
    }
}

async fn accept_one(bound: &Bound) -> io::Result<(Socket, Peer)> {
    match bound {
        Bound::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Socket::Tcp(stream), Peer::Tcp(peer.ip())))
        }
        Bound::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let peer = Peer::Unix { uid: credentials.uid(), gid: credentials.gid() };
            Ok((Socket::Unix(stream), peer))
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, silence, end, .. } = &mut *self;
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if let Some(Silence { over, .. }) = silence
            && over.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let read = match socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some(Silence { missing, .. }) = silence {
            *missing = missing.saturating_sub(buf.filled().len() - before);
            if *missing == 0 {
                *silence = None;
            }
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    /// Not, although it could: h2 then copies frames of up to a kilobyte into its buffer, and the answers that are ready
    /// together leave in one system call, where it would otherwise make one call each to save that copy.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
