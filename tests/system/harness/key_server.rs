//! The web server of an issuer, which serves its keys.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// An issuer's web server. What it answers can be changed.
#[derive(Clone)]
pub(crate) struct KeyServer {
    pub(crate) address: std::net::SocketAddr,
    answer: Arc<Mutex<(&'static str, String)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    /// Answers with these keys; over TLS, where there is a pair of certificate and key.
    pub(crate) async fn start(keys: String, tls: Option<&(String, String)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let acceptor = tls.map(|(certificate, key)| {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
            tokio_rustls::TlsAcceptor::from(Arc::new(config))
        });
        let address = listener.local_addr().unwrap();
        let server = Self { address, answer: Arc::new(Mutex::new(("200 OK", keys))), asked: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (server, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => server.serve(socket).await,
                        // A client that does not trust this server ends the handshake.
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                server.serve(socket).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    async fn serve(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut request).await.unwrap() == 0 {
                return;
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (status, body) = self.answer.lock().unwrap().clone();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        // A client that has read enough of a body that is too long goes.
        let _ = socket.write_all(answer.as_bytes()).await;
        let _ = socket.shutdown().await;
    }

    pub(crate) fn answers(&self, status: &'static str, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, body.into());
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
