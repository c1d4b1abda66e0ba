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

/// The results of one run. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
}

impl Run {
    fn of(mut times: Vec<f64>, took: Duration) -> Self {
        let (count, sum) = (times.len() as f64, times.iter().sum::<f64>());
        Self { per_second: count / took.as_secs_f64(), mean: sum / count, p50: median(&mut times) }
    }
}

/// Calls this often, one after the other.
pub(crate) async fn lone(channel: &Channel, call: &Call, count: u32) -> Run {
    let (started, mut times) = (Instant::now(), Vec::new());
    for _ in 0..count {
        let began = Instant::now();
        call.once(channel).await.expect("the call is answered");
        times.push(micros(began.elapsed()));
    }
    Run::of(times, started.elapsed())
}

/// Calls this often in a second, whether earlier calls were answered or not. Returns the 99.9th percentile of the time
/// from the moment when a call was due to its answer, in microseconds.
pub(crate) async fn paced(channel: &Channel, call: &Call, per_second: u32, duration: Duration) -> f64 {
    let (started, gap) = (Instant::now(), Duration::from_secs(1) / per_second);
    let (mut calls, mut due) = (JoinSet::new(), started);
    while due < started + duration {
        tokio::time::sleep_until(due.into()).await;
        // A timer has a resolution of a millisecond: what became due meanwhile starts together.
        while due <= Instant::now() {
            let (channel, call) = (channel.clone(), call.clone());
            calls.spawn(async move {
                call.once(&channel).await.expect("the call is answered");
                micros(due.elapsed())
            });
            due += gap;
        }
    }
    let mut times = calls.join_all().await;
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 999 / 1000).copied().unwrap_or(f64::NAN)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
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
                times.push(micros(now - then));
            }
            times
        });
    }
    let times: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    Run::of(times, started.elapsed())
}

/// The median of these values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
