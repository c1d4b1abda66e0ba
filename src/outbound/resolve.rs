//! [`Resolver`]: finds the addresses of a host: by the system, each time anew, or those that were found at the start.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// Finds the addresses of a host.
#[derive(Clone, Debug)]
pub(crate) enum Resolver {
    /// As the system does.
    System(GaiResolver),
    /// These, whatever the host: a name that leads elsewhere later changes nothing.
    Pinned(Arc<[SocketAddr]>),
}

impl Resolver {
    pub(crate) fn system() -> Self {
        Self::System(GaiResolver::new())
    }

    pub(crate) fn pinned(addresses: Vec<SocketAddr>) -> Self {
        Self::Pinned(addresses.into())
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        match self {
            Self::System(resolver) => resolver.poll_ready(cx),
            Self::Pinned(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::System(resolver) => {
                let found = resolver.call(name);
                Box::pin(async move { Ok(found.await?.collect::<Vec<_>>().into_iter()) })
            }
            Self::Pinned(addresses) => {
                let addresses = addresses.to_vec();
                Box::pin(std::future::ready(Ok(addresses.into_iter())))
            }
        }
    }
}
