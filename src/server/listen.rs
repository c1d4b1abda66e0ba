//! Binds listeners and accepts connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::places::{Found, Place, Places};
use crate::auth::tls::Tls;
use crate::auth::{ClientCertificate, Connection, Known, Listener, Peer};
use crate::domain::Defence;
use crate::limits::Lines;

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, removed when the listener ends.
    Unix { listener: UnixListener, _file: SocketFile },
}

/// How many bytes the kernel takes of an answer before the client reads. By itself it takes megabytes for each
/// connection, and in a container its memory counts as the daemon's.
const SEND_BUFFER: u32 = 256 << 10;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Binds a TCP listener. Its connections inherit what is set here.
pub(crate) fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that the daemon can start again at once.
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The path of a socket, which is removed with its listener.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The device and the number of what was bound: whatever else stands there by the end is somebody else's.
    bound: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), bound: which(&std::fs::symlink_metadata(path)?) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell at this point.
        let is_own = |found: &std::fs::Metadata| which(found) == self.bound || !Defence::OwnSocket.on();
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| is_own(&found)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn which(file: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;

    (file.dev(), file.ino())
}

/// Binds a unix socket with these permissions. A socket that a dead daemon left behind is replaced. A living one is
/// not, and neither is anything else that is there.
pub(crate) fn bind_unix(path: &Path, mode: u32) -> io::Result<Bound> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    if std::os::unix::net::SocketAddr::from_pathname(path).is_err() {
        let length = path.as_os_str().len();
        let why = format!("the path has {length} bytes, more than the system takes for a socket: choose a shorter one");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if Defence::OwnSocket.on() && !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                let why = "something is there already that is no socket: choose another path, or move it away";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(error.kind(), "another process listens on this socket"));
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let file = SocketFile::at(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(Bound::Unix { listener, _file: file })
}

/// The length of the HTTP/2 preface, which starts with `PRI * HTTP/2.0`. An HTTP/1.1 request is never shorter: it has a
/// method, a path, a version and a host.
const PREFACE_BYTES: usize = 24;

/// A connection whose protocol is unknown yet. The timeouts of the protocol apply only after its first bytes.
struct Silence {
    missing: usize,
    /// Waits until the client is too slow, or the daemon stops.
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
pub(crate) struct Stream {
    socket: Socket,
    silence: Option<Silence>,
    makes_way: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

/// The settings of a listener and its connections.
pub(crate) struct Door<F> {
    /// The kind of the listener.
    pub(crate) listener: Listener,
    /// The TLS configuration, if the listener uses TLS. Each connection uses the one in force when it is opened.
    pub(crate) tls: Option<Arc<Known>>,
    /// The timeout of the TLS handshake, and again of the first bytes.
    pub(crate) patience: Duration,
    /// The places for open connections.
    pub(crate) places: Arc<Places>,
    /// What bounds them, for the log.
    pub(crate) bound_by: &'static str,
    /// Serves a connection, in a task of its own.
    pub(crate) serve: F,
    /// Stops the listener.
    pub(crate) stop: CancellationToken,
}

/// Accepts and serves connections on one listener until told to stop.
///
/// Closes a connection for which there is no place at once, because a queue of waiting connections would hide the
/// problem.
pub(crate) async fn accept<F>(bound: Bound, door: Door<F>)
where
    F: Fn(Stream, Connection) + Clone + Send + 'static,
{
    let Door { listener, tls, patience, places, bound_by, serve, stop } = door;
    // Callers can cause both.
    let (failed, refused) = (Lines::new(), Lines::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept_one(&bound) => accepted,
        };
        let (socket, peer, local) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, typically: the pause lets some be given back.
                if let Some(left_out) = failed.next() {
                    tracing::warn!(%error, left_out, "a connection could not be accepted");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let found = places.take().await;
        if !matches!(found, Found::Free(_))
            && let Some(left_out) = refused.next()
        {
            tracing::warn!(left_out, "a connection was closed: {bound_by} are open already");
        }
        let (Found::Free(place) | Found::MadeWay(place)) = found else { continue };
        let activity = place.activity();
        let in_force = tls.as_ref().and_then(|known| known.load().tls.clone());
        let (Tls { config, clients, .. }, socket) = match (in_force, socket) {
            (Some(in_force), Socket::Tcp(socket)) => (in_force, socket),
            // TLS is required and not available: never use plaintext instead.
            (None, Socket::Tcp(_)) if tls.is_some() => continue,
            (_, socket) => {
                let silence = Silence::new(patience, stop.clone());
                let connection = Connection::new(listener, peer, None).at(local).seen_by(activity);
                serve(Stream::new(socket, place, silence), connection);
                continue;
            }
        };
        let authorities = clients.map_or(0, |authorities| authorities.number);
        // Handshakes run in parallel, so a slow one delays nobody. It counts against the limit of connections.
        let (serve, stop) = (serve.clone(), stop.clone());
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(patience, TlsAcceptor::from(config).accept(socket));
            let makes_way = place.makes_way();
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                () = makes_way.cancelled() => return,
                shaken = handshake => match shaken {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return tracing::debug!(%peer, %error, "a TLS handshake failed"),
                    Err(_) => return tracing::debug!(%peer, "a TLS handshake took too long"),
                },
            };
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = shown.map(|chain| ClientCertificate::read(chain.to_vec(), authorities));
            let connection = Connection::new(listener, peer, certificate).at(local).seen_by(activity);
            serve(Stream::new(Socket::Tls(Box::new(stream)), place, Silence::new(patience, stop)), connection);
        });
    }
}

impl Stream {
    fn new(socket: Socket, place: Place, silence: Silence) -> Self {
        let makes_way = Box::pin(place.makes_way().cancelled_owned());
        Self { socket, silence: Some(silence).filter(|_| Defence::Silence.on()), makes_way, _place: place }
    }
}

async fn accept_one(bound: &Bound) -> io::Result<(Socket, Peer, Option<IpAddr>)> {
    match bound {
        Bound::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let local = stream.local_addr()?.ip();
            Ok((Socket::Tcp(stream), Peer::Tcp(peer.ip()), Some(local)))
        }
        Bound::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let peer = Peer::Unix { uid: credentials.uid(), gid: credentials.gid() };
            Ok((Socket::Unix(stream), peer, None))
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, silence, makes_way, .. } = &mut *self;
        if makes_way.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
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

    /// Vectored writes are disabled on purpose. h2 then copies frames of up to 1 KiB into its buffer and sends several
    /// responses with one system call. With vectored writes it makes one call for each response, to save the copy.
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
