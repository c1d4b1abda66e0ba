//! Answering an approval: what `approve`, `deny` and `review` have in common.

use tonic::Status;

use super::approval;
use super::connect::{self, Door, Remote, RemoteArgs, Transport};
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::{paint, say, words};
use crate::domain::{ApprovalId, Digest, Timestamp, visible};
use crate::proto::v1::approval_service_client::ApprovalServiceClient;
use crate::proto::v1::{Approval, ApproveRequest, DenyRequest, GetApprovalRequest};

/// What a reviewer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Approve,
    Deny,
}

/// What `approve` and `deny` take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AnswerArgs {
    /// The approval, as `aegis pending` lists it
    #[arg(value_name = "ID")]
    approval_id: ApprovalId,

    /// Why, for the record and the agent
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    /// Answer only if this is still the digest of what is asked: what was seen elsewhere is what is decided
    #[arg(long, value_name = "HEX", value_parser = digest)]
    digest: Option<Digest>,

    #[command(flatten)]
    remote: RemoteArgs,
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "a digest is 64 hex digits, as `aegis pending --format json` shows it".into())
}

/// Shows what is asked, answers it, and says how it ended.
pub(super) fn run(verdict: Verdict, args: &AnswerArgs) -> Result<Exit, Failure> {
    let ended = connect::block_on(answer(verdict, args))??;
    let mut out = Out::stdout();
    out.line(line(&ended))?;
    out.flush()?;
    Ok(exit(verdict, &ended))
}

async fn answer(verdict: Verdict, args: &AnswerArgs) -> Result<Approval, Failure> {
    let mut client = Remote::open(Door::Person, &args.remote).await?.approvals();
    let request = GetApprovalRequest { approval_id: args.approval_id.to_string() };
    let shown = client.get_approval(connect::call(request)).await?.into_inner().approval.unwrap_or_default();
    say::note(approval::paragraph(&shown, Timestamp::now()));
    if let Some(ending) = &shown.ending {
        return Err(Failure::new(format!("{} has ended: {}", args.approval_id, approval::ending(ending))));
    }
    let digest = args.digest.map_or_else(|| shown.action_digest.clone(), |digest| digest.to_string());
    Ok(send(&mut client, verdict, &shown, digest, args.reason.clone()).await?)
}

/// Sends the verdict on exactly what has this digest.
pub(super) async fn send(
    client: &mut ApprovalServiceClient<Transport>,
    verdict: Verdict,
    shown: &Approval,
    expected_action_digest: String,
    reason: String,
) -> Result<Approval, Status> {
    let approval_id = shown.approval_id.clone();
    let ended = match verdict {
        Verdict::Approve => {
            let request = ApproveRequest { approval_id, expected_action_digest, reason };
            client.approve(connect::call(request)).await?.into_inner().approval
        }
        Verdict::Deny => {
            let request = DenyRequest { approval_id, expected_action_digest, reason };
            client.deny(connect::call(request)).await?.into_inner().approval
        }
    };
    Ok(ended.unwrap_or_default())
}

/// How it ended: the word first, then which, then who, when and why.
pub(super) fn line(ended: &Approval) -> String {
    said(ended, &format!("{} {}", visible(&ended.approval_id), approval::title(ended)))
}

/// The same for who has just seen which one it was.
pub(super) fn short_line(ended: &Approval) -> String {
    said(ended, &approval::title(ended))
}

fn said(ended: &Approval, which: &str) -> String {
    let word = words::ending(ended.ending.as_ref()).unwrap_or_else(|| "unknown".into());
    let sentence = ended.ending.as_ref().map(approval::ending).unwrap_or_default();
    let rest = sentence.strip_prefix(&word).unwrap_or_default();
    let style = paint::of(&word);
    format!("{style}{word}{style:#} {which}{rest}")
}

/// An approval that the policy now in force turned into a denial is a denial.
pub(super) fn exit(verdict: Verdict, ended: &Approval) -> Exit {
    let allows = ended.ending.as_ref().is_some_and(|ending| ending.allows);
    if verdict == Verdict::Approve && !allows { Exit::Denied } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::approval::tests::{at, example};
    use crate::cli::wire;
    use crate::proto::v1::{Ending, EndingKind};

    fn ended(kind: EndingKind, allows: bool, code: &str) -> Approval {
        let ending = Ending {
            kind: kind as i32,
            allows,
            by: "ann".into(),
            at: Some(wire::to_moment(at("2026-11-20T12:05:30Z"))),
            reason: "ok".into(),
            code: code.into(),
        };
        Approval { ending: Some(ending), ..example() }
    }

    #[test]
    fn the_word_comes_first_then_what_who_when_and_why() {
        let line = anstream::adapter::strip_str(&line(&ended(EndingKind::Approved, true, ""))).to_string();
        assert_eq!(
            line,
            "approved apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e bulk_update@crm by ann at 2026-11-20 12:05:30 UTC: ok"
        );
    }

    #[test]
    fn an_approval_that_the_policy_denies_is_a_denial() {
        assert_eq!(exit(Verdict::Approve, &ended(EndingKind::Approved, true, "")), Exit::Done);
        assert_eq!(exit(Verdict::Approve, &ended(EndingKind::Denied, false, "POLICY_CHANGED")), Exit::Denied);
        assert_eq!(exit(Verdict::Deny, &ended(EndingKind::Denied, false, "")), Exit::Done);
        assert_eq!(exit(Verdict::Approve, &Approval::default()), Exit::Denied);
    }

    #[test]
    fn a_digest_is_64_hex_digits() {
        assert!(digest(&"ab".repeat(32)).is_ok());
        assert!(digest("ab").unwrap_err().contains("64"));
    }
}
