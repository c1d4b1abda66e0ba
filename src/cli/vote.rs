//! A reviewer's vote on an approval: the part that `approve`, `deny` and `review` share.

use std::io::IsTerminal as _;

use tonic::Status;

use super::approval;
use super::connect::{self, Door, Remote, RemoteArgs, Transport};
use super::exit::Exit;
use super::failure::Failure;
use super::out::{Format, Out};
use super::times::{Zone, ZoneArgs};
use super::{paint, pending, say, words};
use crate::domain::{ApprovalId, Digest, Timestamp, visible};
use crate::proto::v1::approval_service_client::ApprovalServiceClient;
use crate::proto::v1::{Approval, ApproveRequest, DenyRequest, GetApprovalRequest};

/// A reviewer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vote {
    Approve,
    Deny,
}

/// A vote that the daemon took.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The approval, which has ended.
    pub(super) ended: Approval,
    /// Whether the record has it.
    pub(super) is_recorded: bool,
}

/// What a reviewer is told of a denial that is not on the record yet.
pub(super) const UNRECORDED: &str = "the denial is in force, and not on the record yet, which cannot be written now. \
    The daemon records it as soon as it can. If the daemon ends before, deny again";

/// The arguments of `approve` and `deny`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct VoteArgs {
    /// Answer this approval: its id as `aegis pending` lists it, or the beginning of the id if only one pending id
    /// begins so
    #[arg(value_name = "ID", value_parser = named)]
    approval: Named,

    /// Give this reason to the record and the agent
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    /// Answer only if the action has this digest, for example one that another tool has shown
    #[arg(long, value_name = "HEX", value_parser = digest)]
    digest: Option<Digest>,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    zone: ZoneArgs,

    #[command(flatten)]
    remote: RemoteArgs,
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "a digest is 64 hex digits, as `aegis pending --format json` shows it".into())
}

/// Shows the question, answers it, and prints how it ended.
pub(super) fn run(vote: Vote, args: &VoteArgs) -> Result<Exit, Failure> {
    let (Taken { ended, is_recorded }, nobody_waits) = connect::block_on(answer(vote, args))??;
    let mut out = Out::stdout();
    match args.format {
        Format::Table => {
            let zone = args.zone.shown(out.is_terminal());
            out.line(line(&ended, &zone))?;
        }
        Format::Json => out.json(&approval::json(&ended))?,
    }
    out.flush()?;
    if !is_recorded {
        say::warning(UNRECORDED);
    }
    if vote == Vote::Approve && nobody_waits {
        say::warning("nobody waits for this any more: the action runs only if the agent asks again");
    }
    Ok(exit(vote, &ended))
}

/// The name of an approval on the command line.
#[derive(Clone, Debug, PartialEq)]
enum Named {
    Id(ApprovalId),
    /// The beginning of the id of a pending approval.
    Prefix(String),
}

/// Reads an id, or the beginning of one: `apr_01a2`, or `apr_01a2…` as a table cuts it.
fn named(text: &str) -> Result<Named, String> {
    if let Ok(id) = text.parse() {
        return Ok(Named::Id(id));
    }
    let prefix = text.trim_end_matches(['…', '.']);
    let is_prefix = prefix
        .strip_prefix("apr_")
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit() || c == '-'));
    if is_prefix {
        Ok(Named::Prefix(prefix.to_lowercase()))
    } else {
        Err(format!("`{text}` is no approval: write its id, `apr_` and a UUID, or how it begins, like apr_01a2"))
    }
}

async fn id_of(client: &mut ApprovalServiceClient<Transport>, named: &Named) -> Result<String, Failure> {
    let prefix = match named {
        Named::Id(id) => return Ok(id.to_string()),
        Named::Prefix(prefix) => prefix,
    };
    let pending = pending::all(client, None).await?;
    let mut matching = pending.iter().map(|approval| &approval.approval_id).filter(|id| id.starts_with(prefix));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id.clone()),
        (None, _) => Err(Failure::new(format!("no pending approval begins with {prefix}"))
            .hint("`aegis pending` lists them; one that has ended is named by its whole id")),
        (Some(first), Some(second)) => {
            let failure = Failure::new(format!("several pending approvals begin with {prefix}"));
            let failure =
                [first, second].into_iter().chain(matching.take(3)).fold(failure, |all, id| all.hint(visible(id)));
            Err(failure.hint("write enough of the id to tell them apart"))
        }
    }
}

/// The vote that was taken, and whether nobody waited for it.
async fn answer(vote: Vote, args: &VoteArgs) -> Result<(Taken, bool), Failure> {
    let mut client = Remote::open(Door::Person, &args.remote).await?.approvals();
    let approval_id = id_of(&mut client, &args.approval).await?;
    let request = GetApprovalRequest { approval_id: approval_id.clone() };
    let shown = client.get_approval(connect::call(request)).await?.into_inner().approval.unwrap_or_default();
    let zone = args.zone.shown(std::io::stderr().is_terminal());
    say::note(approval::paragraph(&shown, Timestamp::now(), &zone));
    if !approval::is_pending(&shown) {
        return Err(Failure::new(format!("{approval_id} has ended: {}", approval::ended(&shown, &zone))));
    }
    let digest = args.digest.map_or_else(|| shown.action_digest.clone(), |digest| digest.to_string());
    let taken = send(&mut client, vote, &shown, digest, args.reason.clone()).await?;
    Ok((taken, shown.caller_waiting == Some(false)))
}

/// Sends the vote on exactly the action with this digest.
pub(super) async fn send(
    client: &mut ApprovalServiceClient<Transport>,
    vote: Vote,
    shown: &Approval,
    expected_action_digest: String,
    reason: String,
) -> Result<Taken, Status> {
    let approval_id = shown.approval_id.clone();
    let (ended, unrecorded) = match vote {
        Vote::Approve => {
            let request = ApproveRequest { approval_id, expected_action_digest, reason };
            (client.approve(connect::call(request)).await?.into_inner().approval, false)
        }
        Vote::Deny => {
            let request = DenyRequest { approval_id, expected_action_digest, reason };
            let denied = client.deny(connect::call(request)).await?.into_inner();
            (denied.approval, denied.unrecorded)
        }
    };
    Ok(Taken { ended: ended.unwrap_or_default(), is_recorded: !unrecorded })
}

/// How it ended: first the word, then which approval, then who, when and why.
pub(super) fn line(ended: &Approval, zone: &Zone) -> String {
    said(ended, &format!("{} {}", visible(&ended.approval_id), approval::title(ended)), zone)
}

/// The same without the id, for someone who has just seen the approval.
pub(super) fn short_line(ended: &Approval, zone: &Zone) -> String {
    said(ended, &approval::title(ended), zone)
}

fn said(ended: &Approval, which: &str, zone: &Zone) -> String {
    let word = words::ending(ended.ending.as_ref()).unwrap_or_else(|| words::state(ended.state));
    let sentence = ended.ending.as_ref().map(|how| approval::ending(how, zone)).unwrap_or_default();
    let rest = sentence.strip_prefix(&word).unwrap_or_default();
    let style = paint::of(&word);
    format!("{style}{word}{style:#} {which}{rest}")
}

/// The exit code. An approval that the policy in force turned into a denial is a denial.
pub(super) fn exit(vote: Vote, ended: &Approval) -> Exit {
    let allows = ended.ending.as_ref().is_some_and(|ending| ending.allows);
    if vote == Vote::Approve && !allows { Exit::Denied } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::approval::tests::{at, example};
    use crate::cli::wire;
    use crate::proto::v1::{Ending, EndingKind, Identity};

    fn ended(kind: EndingKind, allows: bool, code: &str) -> Approval {
        let ending = Ending {
            kind: kind as i32,
            allows,
            by: Some(Identity { subject: "ann".into(), ..Identity::default() }),
            ended_at: Some(wire::to_moment(at("2026-11-20T12:05:30Z"))),
            reason: "ok".into(),
            code: code.into(),
        };
        Approval { ending: Some(ending), ..example() }
    }

    #[test]
    fn the_line_has_the_word_the_approval_who_when_and_why() {
        let line =
            anstream::adapter::strip_str(&line(&ended(EndingKind::Approved, true, ""), &Zone::utc())).to_string();
        assert_eq!(
            line,
            "approved apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e bulk_update@crm by ann at 2026-11-20 12:05:30 UTC: ok"
        );
    }

    #[test]
    fn an_approval_that_the_policy_denies_is_a_denial() {
        assert_eq!(exit(Vote::Approve, &ended(EndingKind::Approved, true, "")), Exit::Done);
        assert_eq!(exit(Vote::Approve, &ended(EndingKind::Denied, false, "POLICY_CHANGED")), Exit::Denied);
        assert_eq!(exit(Vote::Deny, &ended(EndingKind::Denied, false, "")), Exit::Done);
        assert_eq!(exit(Vote::Approve, &Approval::default()), Exit::Denied);
    }

    #[test]
    fn an_approval_is_named_by_its_id_or_the_beginning_of_its_id() {
        let whole = "apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e";
        assert_eq!(named(whole), Ok(Named::Id(whole.parse().unwrap())));
        for text in ["apr_01a2", "apr_01A2…", "apr_01a2..."] {
            assert_eq!(named(text), Ok(Named::Prefix("apr_01a2".into())), "{text}");
        }
        for text in ["apr_", "", "dec_1", "apr_xyz", "01a2", "apr_01a2 "] {
            assert!(named(text).unwrap_err().contains("apr_"), "{text}");
        }
    }

    #[test]
    fn a_digest_is_64_hex_digits() {
        assert!(digest(&"ab".repeat(32)).is_ok());
        assert!(digest("ab").unwrap_err().contains("64"));
    }
}
