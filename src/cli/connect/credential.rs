//! What a command shows to a daemon: a token with every call, and certificates over TLS.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic::{Request, Status};

use super::address::Address;
use super::remote_args::RemoteArgs;
use crate::cli::data_dir::DataDir;
use crate::cli::environment::Environment;
use crate::cli::failure::Failure;

/// A secret that proves who calls. It is not `Debug`, so that it cannot reach a log.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(pub(super) String);

impl Token {
    /// The token of `AEGIS_TOKEN`.
    pub(super) fn given(environment: &Environment) -> Option<Self> {
        environment.variable("AEGIS_TOKEN").map(|token| Self(token.to_string_lossy().trim().to_owned()))
    }

    /// The credential in the data directory, if it may be sent and is needed. It may go over TLS to a daemon with a
    /// certificate of `--tls-ca`. It may go over the socket next to it, if the caller is another user than the
    /// daemon's. (The daemon knows its own user from the kernel, and the record should say so.)
    pub(super) fn found(data_dir: &DataDir, address: &Address, tls: &Tls, uid: u32) -> Option<Self> {
        let socket = data_dir.socket();
        match address {
            // The machine's own authorities accept every host on the internet.
            Address::Tls { .. } if tls.ca.is_some() => {}
            Address::Socket(path) if *path == socket && fs::metadata(&socket).ok()?.uid() != uid => {}
            Address::Tls { .. } | Address::Socket(_) | Address::Plaintext { .. } => return None,
        }
        let token = fs::read_to_string(data_dir.credential()).ok()?;
        Some(Self(token.trim().to_owned())).filter(|Self(token)| !token.is_empty())
    }
}

/// Adds the token to every call.
#[derive(Clone)]
pub(in crate::cli) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// What is added to every call to this address. A token is not sent where others could read it.
    pub(super) fn new(token: Option<&Token>, address: &Address) -> Result<Self, Failure> {
        let Some(Token(token)) = token else { return Ok(Self(None)) };
        if !address.is_private() {
            return Err(Failure::usage(format!(
                "the token is not sent to {address}: everybody on the way could read it"
            ))
            .hint("use an https:// endpoint, a unix socket or loopback, or unset AEGIS_TOKEN"));
        }
        let value = format!("Bearer {token}").parse().map_err(|_| {
            Failure::usage("the token holds characters that no token has")
                .hint("is AEGIS_TOKEN the token itself, and not a file of several lines?")
        })?;
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// The certificates to accept from a daemon that uses TLS, and the certificate to show it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Tls {
    pub(super) fn find(args: &RemoteArgs, environment: &Environment) -> Self {
        let of = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| environment.variable(name).map(PathBuf::from));
        Self {
            ca: of(&args.tls_ca, "AEGIS_TLS_CA"),
            certificate: of(&args.tls_cert, "AEGIS_TLS_CERT"),
            key: of(&args.tls_key, "AEGIS_TLS_KEY"),
        }
    }

    pub(super) fn config(&self) -> Result<ClientTlsConfig, Failure> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::file("read", path, &error));
        let config = ClientTlsConfig::new();
        let config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(read(ca)?)),
            None => config.with_native_roots(),
        };
        match (&self.certificate, &self.key) {
            (None, None) => Ok(config),
            (Some(certificate), Some(key)) => Ok(config.identity(Identity::from_pem(read(certificate)?, read(key)?))),
            _ => Err(Failure::usage("--tls-cert and --tls-key go together (and AEGIS_TLS_CERT with AEGIS_TLS_KEY)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str, endpoint: &str) -> Result<Bearer, Failure> {
        Bearer::new(Some(&Token(token.into())), &Address::read(endpoint, "a test").unwrap())
    }

    #[test]
    fn a_token_of_several_lines_is_refused_without_showing_it() {
        let failure = bearer("one\ntwo", "unix:/a").err().unwrap().to_string();
        assert!(failure.contains("AEGIS_TOKEN") && !failure.contains("one"), "{failure}");
    }

    #[test]
    fn a_token_is_sent_over_plaintext_to_loopback_only() {
        for endpoint in ["http://example.com:1", "http://10.0.0.1:1", "http://0.0.0.0:1"] {
            let failure = bearer("aegis_secret", endpoint).err().unwrap().to_string();
            assert!(failure.contains(endpoint) && failure.contains("https://"), "{failure}");
            assert!(!failure.contains("secret"), "{failure}");
            let nobody = Bearer::new(None, &Address::read(endpoint, "a test").unwrap());
            assert!(nobody.is_ok(), "without a token there is nothing to read");
        }
        for endpoint in ["https://example.com:1", "http://127.0.0.1:1", "unix:/a"] {
            assert!(bearer("aegis_secret", endpoint).is_ok(), "{endpoint}");
        }
    }
}
