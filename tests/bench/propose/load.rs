//! Load: this many calls in flight on one connection for this long, and the results.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::raw::Raw;

/// A method and the bytes of its request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    path: PathAndQuery,
    request: Bytes,
}

impl Call {
    /// A method of the agent's service.
    pub(crate) fn new(method: &str, request: &impl prost::Message) -> Self {
        let path = format!("/aegis.v1.GovernanceService/{method}").parse().expect("a path");
        Self { path, request: request.encode_to_vec().into() }
    }

    /// Calls once.
    pub(crate) async fn once(&self, channel: &Channel) -> Result<Bytes, Status> {
        let mut client = Grpc::new(channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let response = client.unary(Request::new(self.request.clone()), self.path.clone(), Raw).await?;
        Ok(response.into_inner())
    }
}

/// The results of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// Microseconds.
    pub(crate) p50: f64,
}

/// Keeps this many calls in flight.
pub(crate) async fn run(channel: &Channel, call: &Call, in_flight: usize, duration: Duration) -> Run {
    let started = Instant::now();
    let end = started + duration;
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (channel, call) = (channel.clone(), call.clone());
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(4096);
            let mut now = Instant::now();
            while now < end {
                call.once(&channel).await.expect("the call is answered");
                let then = std::mem::replace(&mut now, Instant::now());
                times.push((now - then).as_secs_f64() * 1e6);
            }
            times
        });
    }
    let mut times: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
    Run { per_second, p50: median(&mut times) }
}

/// The median of these values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
