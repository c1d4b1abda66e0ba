//! What a decision spends of the policy's limits.
//!
//! The policy says which limits an action comes under. This module names the count of each, compares it with the
//! limit, and spends: all of that in the transaction of the decision that allows the action. The store has one writer,
//! so no two decisions spend the same.
//!
//! An agent's texts take part in the name of a count only as a keyed hash, so nobody can guess a masked text from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::secret::StoreSecret;
use crate::audit::record::IdentityRecord;
use crate::audit::{Failures, Reader, Spend, SpentKey, StoreError, StoredSpent, Tx, TxError};
use crate::domain::{
    Action, Approval, How, ParamsError, ResultStatus, Timestamp, canonical_action, canonical_json, nfc,
};
use crate::limits::Spends;
use crate::policy::{By, Counted, Limit, Reached, Verdict};

/// The most characters of a text that is stored to show what a count is for.
const SHOWN: usize = 128;

/// Names counts and bounds their number.
#[derive(Clone)]
pub(super) struct Spender {
    secret: StoreSecret,
    /// The most counts of callers with a credential, and of those without.
    places: [u64; 2],
}

/// Who proposes what, as far as limits count by it.
pub(super) struct Proposed<'a> {
    /// The action.
    pub(super) action: &'a Action,
    /// The action, with what must not be stored masked.
    pub(super) shown: &'a Action,
    /// The actor, as declared.
    pub(super) declared: &'a str,
    /// The actor, as authenticated.
    pub(super) authenticated: Option<&'a str>,
    /// The caller.
    pub(super) identity: &'a IdentityRecord,
    /// The session, or empty.
    pub(super) session_id: &'a str,
}

/// What one decision spends if it is allowed.
#[derive(Clone, Default)]
pub(super) struct Spending {
    dues: Vec<Due>,
    places: [u64; 2],
}

/// What it spends of one limit.
#[derive(Clone)]
struct Due {
    limit: Arc<Limit>,
    key: SpentKey,
    by: BTreeMap<String, String>,
    /// In millionths.
    amount: u64,
    /// Whether the decision becomes stricter if the limit is reached.
    matters: bool,
}

/// Where a count stands.
pub(super) struct Standing {
    /// Why the limit is reached; `None` if it is not.
    pub(super) reached: Option<Reached>,
    /// Whether that makes the decision stricter.
    pub(super) matters: bool,
    /// What is left after this action, for people.
    pub(super) left: String,
}

impl Spender {
    /// Counts under names that are derived from this secret, at most this many. Callers without a credential have at
    /// most `anonymous_share` per cent of the places.
    pub(super) fn new(secret: StoreSecret, places: u64, anonymous_share: u8) -> Self {
        Self { secret, places: [places, places / 100 * u64::from(anonymous_share.min(100))] }
    }

    /// What an action spends under this answer of the policy.
    pub(super) fn spending(&self, verdict: &Verdict<'_>, proposed: &Proposed<'_>) -> Result<Spending, ParamsError> {
        let mut spending = Spending { dues: Vec::new(), places: self.places };
        for charge in verdict.charges() {
            let (key, by) = self.count(charge.limit, verdict.matched_rule, proposed)?;
            let (limit, matters) = (Arc::clone(charge.limit), verdict.is_changed_by(charge.limit));
            spending.dues.push(Due { limit, key, by, amount: charge.amount.millionths(), matters });
        }
        Ok(spending)
    }

    /// The name of a count, and what it is for.
    fn count(
        &self,
        limit: &Limit,
        rule: &str,
        proposed: &Proposed<'_>,
    ) -> Result<(SpentKey, BTreeMap<String, String>), ParamsError> {
        let (mut named, mut shown) = (Vec::new(), BTreeMap::new());
        for by in &limit.by {
            let (of, for_people) = self.value(*by, rule, proposed)?;
            named.push((by.as_str(), of));
            shown.insert(by.as_str().to_owned(), for_people.chars().take(SHOWN).collect());
        }
        let counted = match &limit.counted {
            Counted::Actions => ("actions", ""),
            Counted::Sum(path) => ("sum", path.as_str()),
            Counted::Failures => ("failures", ""),
        };
        let is_anonymous = proposed.identity.how == How::Anonymous;
        let name = canonical_json(&(&limit.name, limit.is_of_rule, counted, named))?;
        Ok((SpentKey { is_anonymous, digest: self.secret.spent_key(&name) }, shown))
    }

    /// What an action is counted by: the texts that make the name of the count, and one for people.
    fn value(&self, by: By, rule: &str, proposed: &Proposed<'_>) -> Result<([String; 2], String), ParamsError> {
        let Proposed { action, shown, identity, session_id, .. } = proposed;
        let alone = |text: &str, shown: &str| ([text.to_owned(), String::new()], shown.to_owned());
        // Callers without a credential are told apart as far as they can be: by where they come from.
        let subject = crate::approvals::quota_key(identity).name;
        Ok(match by {
            By::Actor => match proposed.authenticated {
                Some(name) => alone(name, name),
                None => (["declared".to_owned(), proposed.declared.to_owned()], proposed.declared.to_owned()),
            },
            By::Subject => alone(&subject, &subject),
            By::Session => ([subject.to_string(), (*session_id).to_owned()], (*session_id).to_owned()),
            By::Type => alone(&nfc(&action.r#type), &shown.r#type),
            By::Target => alone(&nfc(&action.target), &shown.target),
            By::Rule => alone(rule, rule),
            By::Action => {
                let actor = proposed.authenticated.unwrap_or(proposed.declared);
                let bare = Action { description: String::new(), ..Action::clone(action) };
                let key = self.secret.spent_key(&canonical_action(&bare, actor, "")?).to_string();
                let text = format!("{} {}", shown.r#type, shown.target);
                ([key, String::new()], text)
            }
        })
    }
}

impl Spending {
    /// Whether it comes under no limit.
    pub(super) fn is_empty(&self) -> bool {
        self.dues.is_empty()
    }

    /// Where each count stands, in a transaction.
    pub(super) fn standings(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<Standing>, TxError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let taken = tx.spent_places()?;
        self.dues.iter().map(|due| Ok(due.standing(tx.spent(due.key)?, self.has_place(due, taken), now))).collect()
    }

    /// Where each count stands, in a snapshot.
    pub(super) fn standings_seen(&self, reader: &Reader, now: Timestamp) -> Result<Vec<Standing>, StoreError> {
        let taken = reader.spent_places()?;
        self.dues.iter().map(|due| Ok(due.standing(reader.spent(due.key)?, self.has_place(due, taken), now))).collect()
    }

    /// Whether a count that is new would find a place.
    fn has_place(&self, due: &Due, [known, anonymous]: [u64; 2]) -> bool {
        known.saturating_add(anonymous) < self.places[0] && (!due.key.is_anonymous || anonymous < self.places[1])
    }

    /// Spends.
    pub(super) fn spend(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<(), TxError> {
        for due in self.dues.iter().filter(|due| due.limit.counted != Counted::Failures) {
            let stored = tx.spent(due.key)?.unwrap_or_default();
            let mut spends = Spends::at(stored.spends, due.limit.per, now);
            spends.add(now, due.amount);
            put(tx, due.key, due.limit.name.clone(), due.by.clone(), spends)?;
        }
        Ok(())
    }

    /// What the row of the decision keeps for a later report.
    pub(super) fn spent(&self, now: Timestamp) -> Vec<Spend> {
        let of = |due: &Due| {
            let limit = &due.limit;
            let is_of_failures = limit.counted == Counted::Failures;
            Spend {
                key: due.key,
                at: now.as_microsecond(),
                amount: if is_of_failures { 0 } else { due.amount },
                per: limit.per.map(|per| per.as_secs()),
                release_on: limit.release_on.clone(),
                failures: is_of_failures.then(|| Failures { limit: limit.name.clone(), by: due.by.clone() }),
            }
        };
        self.dues.iter().map(of).collect()
    }
}

impl Due {
    fn standing(&self, stored: Option<StoredSpent>, has_place: bool, now: Timestamp) -> Standing {
        let limit = &self.limit;
        let is_new = stored.is_none();
        let spends = Spends::at(stored.unwrap_or_default().spends, limit.per, now);
        let (sum, max) = (spends.sum(), limit.max.millionths());
        // Failures are there already; an action is still to be added.
        let (is_reached, below) = match limit.counted {
            Counted::Failures => (sum >= max, max.saturating_sub(1)),
            _ => (sum.saturating_add(self.amount) > max, max.saturating_sub(self.amount)),
        };
        let quantity = crate::policy::Quantity::of_millionths;
        let (spent, text) = (quantity(sum), limit.text());
        let mut why = is_reached.then(|| {
            let until = match spends.down_to(below) {
                Some(free) => format!("until {free:.0}"),
                None => "until an admin resets it".to_owned(),
            };
            match limit.counted {
                Counted::Failures => format!("{spent} failures in a row were reported, of {text}, {until}"),
                _ => format!("{spent} spent of {text}, {until}"),
            }
        });
        if why.is_none() && is_new && !has_place {
            why = Some(format!("there is no place for another count ({text}): aegis limits shows those in use"));
        }
        let left = match limit.counted {
            Counted::Failures => quantity(max.saturating_sub(sum)),
            _ => quantity(max.saturating_sub(sum).saturating_sub(self.amount)),
        };
        let all_free = spends.over().map(|over| format!(", what was spent before is free at {over:.0}"));
        Standing {
            reached: why.map(|why| Reached { limit: Arc::clone(limit), why }),
            matters: self.matters,
            left: format!("limit `{}`: {left} left of {text}{}", limit.name, all_free.unwrap_or_default()),
        }
    }
}

/// What a later approval by a person may still allow: not what a limit blocks.
pub(super) fn blocks(reached: &Reached) -> bool {
    reached.limit.approval == Approval::Block
}

/// Changes the counts of a decision after the report of its result.
pub(super) fn reported(
    tx: &mut Tx<'_>,
    spent: &mut Vec<Spend>,
    status: ResultStatus,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut kept = Vec::with_capacity(spent.len());
    for spend in spent.drain(..) {
        let per = spend.per.map(Duration::from_secs);
        if let Some(Failures { limit, by }) = &spend.failures {
            match status {
                ResultStatus::Success => drop(tx.remove_spent(spend.key)?),
                ResultStatus::Failed => {
                    let stored = tx.spent(spend.key)?.unwrap_or_default();
                    let mut spends = Spends::at(stored.spends, per, now);
                    spends.add(now, crate::policy::Quantity::ONE.millionths());
                    put(tx, spend.key, limit.clone(), by.clone(), spends)?;
                }
                _ => {}
            }
        }
        if !spend.release_on.contains(&status) {
            kept.push(spend);
            continue;
        }
        if let Some(StoredSpent { limit, by, spends }) = tx.spent(spend.key)? {
            let mut spends = Spends::at(spends, per, now);
            spends.give_back(spend.at, spend.amount);
            put(tx, spend.key, limit, by, spends)?;
        }
    }
    *spent = kept;
    Ok(())
}

fn put(
    tx: &mut Tx<'_>,
    key: SpentKey,
    limit: String,
    by: BTreeMap<String, String>,
    spends: Spends,
) -> Result<(), TxError> {
    if spends.is_empty() {
        return tx.remove_spent(key).map(drop);
    }
    let over = spends.over();
    tx.put_spent(key, &StoredSpent { limit, by, spends: spends.into_stored() }, over)
}
