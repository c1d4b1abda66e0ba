"""From an action to the decision as it stands in the end: proposed, reviewed, confirmed, or withdrawn."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from aegis._govern.hooks import shown_decision
from aegis._govern.kept import Kept
from aegis._govern.signals import ends_by_signal
from aegis._govern.terms import Terms
from aegis._operations import agent
from aegis._operations.effects import Do, Operation
from aegis._proto.governance_pb2 import ProposeRequest
from aegis.core.action import Action, ActionLike
from aegis.core.decision import Decision, Outcome
from aegis.core.errors import AegisError, GovernanceError
from aegis.core.status import ResultStatus
from aegis.errors import AlreadyClaimed

_log = logging.getLogger("aegis")


@dataclass(frozen=True)
class Proposed:
    """A proposal that was answered."""

    kept: Kept
    decision: Decision
    ours: bool
    """Whether this call made the proposal. What another call made by the same key is not for us to withdraw."""


def propose(
    terms: Terms, action: ActionLike, key: str | None, confirmation_token: str | None = None
) -> Operation[Proposed]:
    """Copies an action, proposes the copy, and keeps it.

    Raises:
        AlreadyClaimed: Another call made the proposal by the same key, and it may run.
    """
    copied, request = agent.proposal(
        action,
        actor=terms.actor,
        context=terms.context,
        idempotency_key=key,
        confirmation_token=confirmation_token,
    )
    kept = Kept(copied, request.action)
    try:
        decision, ours = yield from agent.send(terms.settings, request, copied)
    except GeneratorExit:
        raise
    except Exception as error:
        if isinstance(error, AegisError) and error.code == "DEADLINE_EXCEEDED":
            # The answer came too late: withdraw, as below.
            yield from best_effort(_withdraw_unseen(terms, request, copied, key))
        raise
    except BaseException:
        # Interrupted on the way: the daemon may have it. The same key finds it, so that it can be withdrawn.
        yield from best_effort(_withdraw_unseen(terms, request, copied, key))
        raise
    if not ours and decision.outcome in {"ALLOW", "ESCALATE"}:
        raise AlreadyClaimed(replace(decision, action=kept.copy()))
    if terms.pinned_revision is not None and decision.policy_revision != terms.pinned_revision:
        if ours:
            yield from best_effort(withdraw(terms, decision, "decided under another policy than the agent names"))
        raise GovernanceError(
            f"the daemon decides by policy {decision.policy_revision[:12]}, and this runtime was given another, "
            f"{terms.pinned_revision[:12]}: nothing runs; an admin puts a policy in force (`update_policy`), or leave "
            "`policy=` out to run under the daemon's",
            reason="POLICY_MISMATCH",
        )
    try:
        decision = replace(decision, action=kept.copy())
    except GovernanceError:
        # It changed while it was proposed. Nobody shall approve it, and the record says that it did not run.
        if ours:
            yield from best_effort(withdraw(terms, decision, "not tried: the action changed while it was proposed"))
        raise
    return Proposed(kept, decision, ours)


def decide(terms: Terms, action: ActionLike, key: str | None) -> Operation[tuple[Kept, Decision, Outcome]]:
    """Returns the final decision, and the outcome that it had at first."""
    with ends_by_signal():
        proposed = yield from propose(terms, action, key)
        kept, decision = proposed.kept, proposed.decision
        first = decision.outcome
        try:
            yield from terms.hooks.decided("on_decision", kept.copy(), decision)
            if first == "ESCALATE":
                decision = yield from _reviewed(terms, decision)
            elif first == "REQUIRE_CONFIRMATION":
                decision = yield from _confirmed(terms, proposed, key)
            if first in {"ESCALATE", "REQUIRE_CONFIRMATION"}:
                yield from terms.hooks.decided("on_approval", kept.copy(), decision)
        except GeneratorExit:
            raise
        except BaseException:
            if proposed.ours and decision.outcome != "DENY":
                yield from best_effort(withdraw(terms, decision, "not tried: the agent gave up before the action ran"))
            raise
    return kept, decision, first


def _reviewed(terms: Terms, decision: Decision) -> Operation[Decision]:
    # Where a handler in this process asks somebody, that is no news.
    _log.log(
        logging.WARNING if terms.await_answer is None else logging.INFO,
        "waiting for a reviewer to decide %s until %s (`aegis review` shows it)",
        decision.approval_id,
        decision.expires_at,
    )
    if terms.await_answer is not None:
        await_answer = terms.await_answer
        decision = yield Do(lambda: await_answer(decision))
    else:
        decision = yield from agent.wait(terms.settings, decision, terms.approval_timeout)
    if decision.outcome == "ESCALATE":
        # Nobody waits any more, so nobody shall approve. Somebody who just did was faster.
        try:
            decision = yield from agent.cancel(terms.settings, decision, "the caller's deadline is over")
        except GovernanceError:
            decision = yield from agent.wait(terms.settings, decision, 0.0)
    return decision


def _confirmed(terms: Terms, proposed: Proposed, key: str | None) -> Operation[Decision]:
    """Asks the user, and proposes again. A key makes the second proposal one, too: it is not the first one's."""
    kept, decision, confirm = proposed.kept, proposed.decision, terms.confirm
    if confirm is not None:
        shown = kept.copy()
        told = shown_decision(decision, shown)
        answer = yield Do(lambda: confirm(shown, told))
        if answer is True:
            second = yield from propose(terms, kept.copy(), key, decision.confirmation_token)
            if second.decision.outcome == "REQUIRE_CONFIRMATION" and second.ours:
                yield from agent.cancel(terms.settings, second.decision, "confirmed already")
            return second.decision
    if proposed.ours:
        yield from agent.cancel(terms.settings, decision, "the agent's user did not confirm")
    return decision


def withdraw(terms: Terms, decision: Decision, why: str) -> Operation[None]:
    """Says on the record that an action was not tried."""
    if decision.outcome == "ALLOW":
        yield from agent.report(terms.settings, decision, ResultStatus.SKIPPED, error=why)
    elif decision.outcome in {"ESCALATE", "REQUIRE_CONFIRMATION"}:
        try:
            yield from agent.cancel(terms.settings, decision, why)
        except GovernanceError:
            # It was decided in this very moment.
            stands = yield from agent.wait(terms.settings, decision, 0.0)
            if stands.outcome == "ALLOW":
                yield from agent.report(terms.settings, stands, ResultStatus.SKIPPED, error=why)


ABANDON_WITHIN = 5.0
"""Seconds; how long one attempt takes at most to withdraw what nobody waits for any longer."""


def _withdraw_unseen(terms: Terms, request: ProposeRequest, copied: Action, key: str | None) -> Operation[None]:
    hasty = replace(terms.settings, retries=0, timeout=min(terms.settings.timeout, ABANDON_WITHIN))
    decision, ours = yield from agent.send(hasty, request, copied)
    # A key that the caller chose may be another call's, too: what was there before may be running.
    if key is None or ours:
        yield from withdraw(terms, decision, "not tried: the agent gave up before it had the answer")


def best_effort(operation: Operation[None]) -> Operation[None]:
    """Runs an operation and ignores its error: the caller raises another error, which says more."""
    try:
        yield from operation
    except AegisError:
        return
