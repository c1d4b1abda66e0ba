"""What agents call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aegis import types
from aegis._client._async.connection import AsyncConnection
from aegis._operations import agent, questions
from aegis.core.action import ActionLike
from aegis.core.status import ResultStatus


class AsyncAgent(AsyncConnection):
    """What agents call."""

    async def propose(
        self,
        *,
        action: ActionLike,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        confirmation_token: str | None = None,
        wait: float = 0.0,
        raise_on_deny: bool = False,
    ) -> types.Decision:
        """Asks whether an action may run. A denial is an answer, not an exception.

        Args:
            action: An `Action`, or a map: `{"type", "target", "params", "description"}`, or in the platform's words
                `{"capability", "parameters"}`.
            actor: Who proposes, as declared: `{"id": "agent-7", "type": "ai-agent"}`.
            context: Where the proposal comes from: `{"session_id": ..., "metadata": {...}}`.
            idempotency_key: Makes a retry of your own safe: the same key within 24 hours is the same proposal, and its
                answer is `replayed`. After a report it is `DENY` with the code `ALREADY_REPORTED` and the `result`. A
                caller without a credential needs 16 characters or more. Without a key, the SDK's own retries are one
                proposal, and every call is another.
            confirmation_token: That of an earlier `REQUIRE_CONFIRMATION`, once the agent's user has confirmed.
            wait: Seconds to wait for a reviewer before the answer `ESCALATE` is given.
            raise_on_deny: Whether a `DENY` is raised as `ActionDenied`.

        Raises:
            InvalidActionError: The action cannot be sent whole. It was not sent.
            GovernanceError: The daemon refused the proposal, or answered something that this SDK does not know.
            AegisError: The call failed: the action must not run.
        """
        return await self._run(
            agent.propose(
                self._settings,
                action,
                actor=actor,
                context=context,
                idempotency_key=idempotency_key,
                confirmation_token=confirmation_token,
                wait_for=wait,
                raise_on_deny=raise_on_deny,
            )
        )

    async def evaluate(
        self,
        action: ActionLike,
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> types.Evaluation:
        """Asks what the policy would answer. Nothing is recorded, and nobody is asked.

        Args:
            action: The action.
            actor: Who would propose it.
            at: The moment that time conditions see; now without it. Needs an auditor or an admin.
            explain: Whether to say why, rule by rule. Needs an auditor or an admin.
        """
        answers = await self.evaluate_many([action], actor=actor, at=at, explain=explain)
        return answers[0]

    async def evaluate_many(
        self,
        actions: Sequence[ActionLike],
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> list[types.Evaluation]:
        """`evaluate` for many actions at once: one answer each, in order."""
        return await self._run(questions.evaluate(self._settings, actions, actor=actor, at=at, explain=explain))

    async def wait(self, decision: types.Decision | str, timeout: float | None = None) -> types.Decision:
        """Waits until a reviewer has decided or the question has expired. It goes on when the daemon restarts.

        Call `cancel` for a decision that you no longer wait for: else a reviewer may still approve it.

        Args:
            decision: The decision, or its id. One that is known by its id alone has no `action` in the answer.
            timeout: Seconds to wait at most; the answer may be `ESCALATE` then. 0 asks how it stands. None: until it is
                decided.
        """
        return await self._run(agent.wait(self._settings, decision, timeout))

    async def report(
        self,
        decision: types.Decision | str,
        status: ResultStatus | str,
        *,
        data: Any = None,
        error: str | None = None,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
    ) -> str:
        """Reports the result of an allowed action. Sending the same report again is safe.

        Args:
            decision: The decision that allowed it, or its id.
            status: `success`, `failed`, `skipped` or `rolled_back`.
            data: What it returned, for the record. What JSON does not have stands there as text.
            error: What went wrong, for the record.
            started_at: When it began.
            completed_at: When it was over.

        Returns:
            The record that holds the report; the first one, where the same report was there already.
        """
        return await self._run(
            agent.report(
                self._settings,
                decision,
                status,
                data=data,
                error=error,
                started_at=started_at,
                completed_at=completed_at,
            )
        )

    async def cancel(self, decision: types.Decision | str, reason: str = "") -> types.Decision:
        """Withdraws a proposal that waits for a reviewer or a confirmation. Nobody can approve it then."""
        return await self._run(agent.cancel(self._settings, decision, reason))

    async def health(self, service: str = "") -> types.HealthStatus:
        """Whether the daemon is serving: all of it, or one service, for example `aegis.v1.GovernanceService`."""
        return await self._run(questions.health(self._settings, service))
