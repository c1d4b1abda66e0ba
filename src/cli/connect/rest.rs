//! Calls of the REST API with a token, for what only it has.

use std::fs;
use std::io::ErrorKind;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt as _;

use super::address::Address;
use super::credential::Token;
use super::remote_args::RemoteArgs;
use super::target::{Door, Target};
use super::{CALL, STARTING};
use crate::cli::data_dir::DataDir;
use crate::cli::environment::Environment;
use crate::cli::failure::Failure;

/// The REST API of a daemon.
pub(in crate::cli) struct Rest {
    channel: Channel,
    authorization: HeaderValue,
    url: Option<String>,
}

impl Rest {
    /// Connects as a person, with the token of `AEGIS_TOKEN`. The daemon's own user calls with the credential in the
    /// data directory, over the socket next to it.
    pub(in crate::cli) async fn open(args: &RemoteArgs) -> Result<Self, Failure> {
        let environment = Environment::of_process();
        let mut target = Target::find(Door::Person, args, &environment)?;
        let data_dir = DataDir::find(args.data_dir.as_deref(), &environment).ok();
        let data_dir = data_dir.filter(|data_dir| target.address == Address::Socket(data_dir.socket()));
        if target.token.is_none()
            && let Some(data_dir) = &data_dir
        {
            target.token = Some(credential(data_dir)?);
        }
        let Some(Token(token)) = &target.token else {
            let message = format!("{} needs a token", target.address);
            return Err(Failure::usage(message).hint("set AEGIS_TOKEN: `aegis token create` makes one"));
        };
        let authorization = HeaderValue::try_from(format!("Bearer {token}"));
        let mut authorization =
            authorization.map_err(|_| Failure::usage("the token holds characters that no token has"))?;
        authorization.set_sensitive(true);
        let url = match (&target.address, &data_dir) {
            (Address::Plaintext { url, .. } | Address::Tls { url }, _) => Some(url.clone()),
            (Address::Socket(_), Some(data_dir)) => announced(data_dir),
            (Address::Socket(_), None) => None,
        };
        // This also refuses to send the token where others could read it.
        let channel = super::connect(&target, STARTING).await?.channel;
        Ok(Self { channel, authorization, url })
    }

    /// The URL of the daemon, if it is known to listen where a browser can reach it.
    pub(in crate::cli) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Sends a POST without a body, and returns the document that is the answer.
    pub(in crate::cli) async fn post(&self, path: &str) -> Result<Value, Failure> {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header(AUTHORIZATION, self.authorization.clone()).body(Body::empty());
        let request = request.map_err(|error| Failure::new(format!("POST {path}: {error}")))?;
        let call = async {
            let answer = self.channel.clone().oneshot(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let document: Value = serde_json::from_slice(&body).unwrap_or_default();
            match document["detail"].as_str() {
                _ if status.is_success() => Ok(document),
                Some(why) => Err(why.to_owned()),
                None => Err(format!("it answered {status}: is it an older version of Aegis?")),
            }
        };
        match tokio::time::timeout(CALL, call).await {
            Ok(answer) => answer.map_err(|why| Failure::new(format!("the daemon refused POST {path}: {why}"))),
            Err(_) => Err(Failure::new(format!("POST {path}: no answer within {CALL:?}"))),
        }
    }
}

fn credential(data_dir: &DataDir) -> Result<Token, Failure> {
    let path = data_dir.credential();
    match fs::read_to_string(&path) {
        Ok(token) => Ok(Token(token.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::new(format!("no daemon has started in {} yet", data_dir.path().display()))
                .hint("start one with `aegis serve`, or name another with --endpoint"))
        }
        Err(error) => {
            Err(Failure::file("read", &path, &error).hint("use a token of your own: set AEGIS_TOKEN and --endpoint"))
        }
    }
}

/// The URL that the daemon wrote when it last started.
fn announced(data_dir: &DataDir) -> Option<String> {
    let url = fs::read_to_string(data_dir.endpoint()).ok()?;
    let url = url.trim();
    matches!(Address::read(url, "endpoint"), Ok(Address::Plaintext { .. } | Address::Tls { .. }))
        .then(|| url.to_owned())
}
