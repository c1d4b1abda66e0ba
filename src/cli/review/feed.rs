//! The stream of approvals, kept open: it is opened again after every break, and whoever listens is told.

use std::time::Duration;

use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::cli::approval;
use crate::cli::connect::Remote;
use crate::cli::failure::Failure;
use crate::cli::status::is_worth_resuming;
use crate::proto::v1::stream_approvals_response::Event;
use crate::proto::v1::{Approval, ApprovalFilter, StreamApprovalsRequest, StreamApprovalsResponse};

/// What a board is told.
#[derive(Debug)]
pub(super) enum News {
    /// A snapshot begins. Why, where it is not the first: how many changes were missed.
    Snapshot { missed: Option<u64> },
    /// This one waits.
    Pending(Box<Approval>),
    /// The snapshot is complete.
    Complete,
    /// This one has ended.
    Ended(Box<Approval>),
    /// The stream broke; it is being opened again.
    Lost(String),
    /// The stream broke and cannot be opened again.
    Over(Failure),
}

/// The listening end.
pub(super) struct Feed {
    news: mpsc::Receiver<News>,
    reload: mpsc::Sender<()>,
}

impl Feed {
    /// What happened next.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => News::Over(Failure::new("the stream of approvals has ended")),
        }
    }

    /// What has happened already, without waiting.
    pub(super) fn next_at_hand(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Asks for a new snapshot.
    pub(super) fn reload(&self) {
        // One that is asked for already serves as well.
        let _ = self.reload.try_send(());
    }
}

/// Opens the stream. Fails where the first attempt does; every later break is news.
pub(super) async fn open(remote: &Remote, filter: ApprovalFilter) -> Result<Feed, Failure> {
    let request = StreamApprovalsRequest { filter: Some(filter) };
    let stream = remote.approvals().stream_approvals(request.clone()).await?.into_inner();
    let (sender, news) = mpsc::channel(1_024);
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(keep_open(remote.clone(), request, stream, sender, reloads));
    Ok(Feed { news, reload })
}

/// Ends when nobody listens any more.
async fn keep_open(
    remote: Remote,
    request: StreamApprovalsRequest,
    stream: Streaming<StreamApprovalsResponse>,
    news: mpsc::Sender<News>,
    mut reloads: mpsc::Receiver<()>,
) {
    let mut opened = Ok(stream);
    let mut pause = Duration::from_millis(250);
    loop {
        let ended = match opened {
            Ok(stream) => {
                pause = Duration::from_millis(250);
                forward(stream, &news, &mut reloads).await
            }
            Err(status) => Ended::Broken(Some(status)),
        };
        let told = match ended {
            Ended::Reload => Ok(()),
            Ended::Broken(Some(status)) if !is_worth_resuming(&status) => {
                let _ = news.send(News::Over(status.into())).await;
                return;
            }
            Ended::Broken(status) => {
                let why = status
                    .map_or_else(|| "the daemon ended the stream".into(), |status| Failure::from(status).to_string());
                let told = news.send(News::Lost(why)).await;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
                told
            }
        };
        if told.is_err() {
            return;
        }
        opened = remote.approvals().stream_approvals(request.clone()).await.map(tonic::Response::into_inner);
    }
}

enum Ended {
    Reload,
    Broken(Option<Status>),
}

/// Forwards what the stream says, until it breaks or somebody asks for a new snapshot.
async fn forward(
    mut stream: Streaming<StreamApprovalsResponse>,
    news: &mpsc::Sender<News>,
    reloads: &mut mpsc::Receiver<()>,
) -> Ended {
    let mut next = Some(News::Snapshot { missed: None });
    loop {
        if let Some(next) = next.take()
            && news.send(next).await.is_err()
        {
            return Ended::Broken(None);
        }
        let message = tokio::select! {
            message = stream.message() => message,
            Some(()) = reloads.recv() => return Ended::Reload,
        };
        next = match message {
            Ok(Some(message)) => message.event.and_then(read),
            Ok(None) => return Ended::Broken(None),
            Err(status) => return Ended::Broken(Some(status)),
        };
    }
}

fn read(event: Event) -> Option<News> {
    match event {
        Event::Pending(approval) if approval::is_pending(&approval) => Some(News::Pending(Box::new(approval))),
        // Of a state that this version does not know, only so much is certain: nobody can answer it here.
        Event::Pending(approval) => Some(News::Ended(Box::new(approval))),
        Event::SnapshotComplete(_) => Some(News::Complete),
        Event::Ended(approval) => Some(News::Ended(Box::new(approval))),
        Event::Lagged(lagged) => Some(News::Snapshot { missed: Some(lagged.missed) }),
        Event::Heartbeat(_) => None,
    }
}
