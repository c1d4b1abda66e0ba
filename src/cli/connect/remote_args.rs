//! The flags that say where the daemon is.

use std::path::PathBuf;

/// Where to find the daemon.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(in crate::cli) struct RemoteArgs {
    /// Connect to this daemon: `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH` [env: `AEGIS_ENDPOINT`]
    ///
    /// Without it, the data directory leads to the local daemon. The token comes from `AEGIS_TOKEN` alone, because
    /// other users of the machine can see command lines. It is sent over https, a unix socket or loopback only.
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) endpoint: Option<String>,

    /// Find the local daemon by this data directory [env: `AEGIS_DATA_DIR`] [default: `$XDG_STATE_HOME/aegis`]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) data_dir: Option<PathBuf>,

    /// Accept certificates of this authority at an `https://` endpoint (PEM) [env: `AEGIS_TLS_CA`]
    /// [default: the system's authorities]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,

    /// Show this client certificate at an `https://` endpoint (PEM) [env: `AEGIS_TLS_CERT`]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// Use this private key with the client certificate (PEM) [env: `AEGIS_TLS_KEY`]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
}
