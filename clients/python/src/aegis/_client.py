"""The clients: a connection to the sidecar, with one credential. One class for sync code, one for asyncio; no guessing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from aegis import _convert, _operations, types
from aegis._proto import audit_pb2
from aegis._settings import TLS, Settings
from aegis._streams import ApprovalFeed, AuditFeed
from aegis._transport import Transport
from aegis.core.action import ActionLike
from aegis.core.result import ResultStatus
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.errors import AegisError

__all__ = ["AegisClient", "AsyncAegisClient"]

T = TypeVar("T")
C = TypeVar("C", bound="_Client")
S = TypeVar("S", bound="AegisClient")
A = TypeVar("A", bound="AsyncAegisClient")


class _Client:
    """What both clients are made of."""

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        retry_delay: float = 1.0,
        *,
        tls: TLS | None = None,
    ) -> None:
        settings = Settings.read(endpoint, api_key, timeout=timeout, retries=retries, retry_delay=retry_delay, tls=tls)
        self._transport = Transport(settings)

    @classmethod
    def _over(cls: type[C], transport: Transport) -> C:
        """A client over a connection that there is already."""
        client = cls.__new__(cls)
        client._transport = transport
        return client

    @property
    def _settings(self) -> Settings:
        return self._transport.settings

    @property
    def endpoint(self) -> str:
        """Where the daemon is."""
        return self._settings.address.url

    def __repr__(self) -> str:
        credential = "no credential" if self._settings.token is None else "a credential"
        return f"<{type(self).__name__} {self.endpoint}, {credential}>"


class AegisClient(_Client):
    """A connection to the sidecar, for code that is not async.

    Connects when it is first used, and may be shared by threads. Close it, or use it in a `with` statement.

    Args:
        endpoint: `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`. None: `AEGIS_ENDPOINT`, else
            `http://127.0.0.1:50051`.
        api_key: The credential. None: `AEGIS_TOKEN`, else none. An empty one sends none, whatever the environment holds:
            the caller is an anonymous agent. It is sent only over `https://`, a unix socket or loopback.
        timeout: Seconds that one attempt of one call may take. Waiting for a reviewer is not a call in this sense.
        retries: How many more attempts there are after a failure that may pass.
        retry_delay: Seconds before the first retry; each further one waits twice as long, at most 30 s, with jitter.
        tls: Whose certificates to believe and which to show at an `https://` endpoint.

    Raises:
        AegisError: The endpoint cannot be understood, or the credential would travel in the open.
    """

    def propose(
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
            idempotency_key: Makes a retry of your own safe: the same key within 24 hours is the same proposal. Without one,
                the SDK's own retries are one proposal, and every call is another.
            confirmation_token: That of an earlier `REQUIRE_CONFIRMATION`, once the agent's user has confirmed.
            wait: Seconds to wait for a reviewer before the answer `ESCALATE` is given.
            raise_on_deny: Whether a `DENY` is raised as `ActionDenied`.

        Raises:
            InvalidActionError: The action cannot be sent whole. It was not sent.
            GovernanceError: The daemon refused the proposal, or answered something that this SDK does not know.
            AegisError: The call failed: the action must not run.
        """
        return self._run(
            _operations.propose(
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

    def evaluate(
        self,
        action: ActionLike,
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> types.Evaluation:
        """Asks what the policy would answer: no record, and nobody is asked.

        Args:
            action: The action.
            actor: Who would propose it.
            at: The moment that time conditions see; now without it. Needs an auditor or an admin.
            explain: Whether to say why, rule by rule. Needs an auditor or an admin.
        """
        return (self.evaluate_many([action], actor=actor, at=at, explain=explain))[0]

    def evaluate_many(
        self,
        actions: Sequence[ActionLike],
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> list[types.Evaluation]:
        """`evaluate` for many actions at once: one answer each, in order."""
        return self._run(_operations.evaluate(self._settings, actions, actor=actor, at=at, explain=explain))

    def wait(self, decision: types.Decision | str, timeout: float | None = None) -> types.Decision:
        """Waits until a reviewer has decided, or the question has expired. Outlives a daemon that is started again.

        Args:
            decision: The decision, or its id. One that is known by its id alone has no `action` in the answer.
            timeout: Seconds to wait at most; the answer may be `ESCALATE` then. 0 asks how it stands. None: until it is
                decided.
        """
        return self._run(_operations.wait(self._settings, decision, timeout))

    def report(
        self,
        decision: types.Decision | str,
        status: ResultStatus | str,
        *,
        data: Any = None,
        error: str | None = None,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
    ) -> str:
        """Says what came of an allowed action. The same report again is answered alike.

        Args:
            decision: The decision that allowed it, or its id.
            status: `success`, `failed`, `skipped` or `rolled_back`.
            data: What it returned, for the record. What JSON does not have stands there as text.
            error: What went wrong, for the record.
            started_at: When it began.
            completed_at: When it was over.

        Returns:
            The record that holds the report; empty where the same report was there already.
        """
        return self._run(
            _operations.report(
                self._settings,
                decision,
                status,
                data=data,
                error=error,
                started_at=started_at,
                completed_at=completed_at,
            )
        )

    def cancel(self, decision: types.Decision | str, reason: str = "") -> types.Decision:
        """Withdraws a proposal that waits for a reviewer or a confirmation, so that nobody approves it any more."""
        return self._run(_operations.cancel(self._settings, decision, reason))

    def health(self, service: str = "") -> types.HealthStatus:
        """Whether the daemon is serving: all of it, or one service, for example `aegis.v1.GovernanceService`."""
        return self._run(_operations.health(self._settings, service))

    def list_approvals(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        actor_id: str | None = None,
        min_risk_level: RiskLevel | str | None = None,
        limit: int | None = None,
    ) -> list[types.Approval]:
        """What is pending, oldest first. Needs a reviewer."""
        filters = _convert.approval_filter(
            session_id=session_id, action_type=action_type, actor_id=actor_id, min_risk_level=min_risk_level
        )
        return self._run(_operations.list_approvals(self._settings, filters, limit))

    def get_approval(self, approval_id: str) -> types.Approval:
        """One approval, pending or ended, with what its session did before. Needs a reviewer."""
        return self._run(_operations.get_approval(self._settings, approval_id))

    def approve(
        self, approval: types.Approval | str, *, reason: str = "", expected_action_digest: str | None = None
    ) -> types.Approval:
        """Says yes to exactly what was shown. Needs a reviewer, who is not the proposer.

        Args:
            approval: The approval as it was shown; or its id, with `expected_action_digest`.
            reason: Why, for the record and the agent.
            expected_action_digest: The `action_digest` of what was shown, where only the id is given.

        Returns:
            The approval with its ending: approved, or denied where the policy now in force blocks the action.
        """
        return self._run(_operations.decide(self._settings, "Approve", approval, expected_action_digest, reason))

    def deny(
        self, approval: types.Approval | str, *, reason: str = "", expected_action_digest: str | None = None
    ) -> types.Approval:
        """Says no. Otherwise as `approve`."""
        return self._run(_operations.decide(self._settings, "Deny", approval, expected_action_digest, reason))

    def stream_approvals(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        actor_id: str | None = None,
        min_risk_level: RiskLevel | str | None = None,
    ) -> Generator[types.ApprovalEvent, None, None]:
        """What is pending, then every change as it happens; resumes by itself, without a gap. Needs a reviewer.

        It goes on until it is closed (`close()`) or the daemon refuses it.
        """
        feed = ApprovalFeed(
            self._settings,
            _convert.approval_filter(
                session_id=session_id, action_type=action_type, actor_id=actor_id, min_risk_level=min_risk_level
            ),
        )
        while True:
            failure: AegisError | None = None
            try:
                with closing(self._transport.stream(feed.open())) as messages:
                    for message in messages:
                        events, missing = feed.take(message)
                        for approval_id in missing:
                            events += feed.ended(self.get_approval(approval_id))
                        for event in events:
                            yield event
            except AegisError as error:
                failure = error
            time.sleep(feed.broken(failure))

    def stream_audit(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        action_target: str | None = None,
        risk_level: RiskLevel | str | None = None,
        approval: ApprovalMode | str | None = None,
        outcome: str | None = None,
        result_status: ResultStatus | str | None = None,
        actor_id: str | None = None,
        decision_id: str | None = None,
        matched_rule: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 0,
        newest_first: bool = False,
        follow: bool = False,
        resume_after: int | None = None,
    ) -> Generator[types.AuditRow, None, None]:
        """Rows of the record: one per decision, its approval and result folded in. Needs an auditor.

        Args:
            session_id: Only of this session. Texts match exactly.
            action_type: Only of this type.
            action_target: Only on this target.
            risk_level: Only of this risk.
            approval: Only where the policy asked for this.
            outcome: Only with this outcome, as it stands.
            result_status: Only with this result.
            actor_id: Only by this declared actor.
            decision_id: Only this decision.
            matched_rule: Only where this rule matched.
            since: Not before this moment.
            until: Not after this moment.
            limit: Of what is recorded already, only the newest this many; 0 for all.
            newest_first: Whether what is recorded already comes newest first.
            follow: Whether to go on with what is recorded from then on. A row comes again when it changes. Resumes by itself.
            resume_after: Go on after this `AuditRow.sequence`.
        """
        request = audit_pb2.StreamAuditRequest(
            filter=_convert.audit_filter(
                {
                    "session_id": session_id,
                    "action_type": action_type,
                    "action_target": action_target,
                    "risk_level": risk_level,
                    "approval": approval,
                    "outcome": outcome,
                    "result_status": result_status,
                    "actor_id": actor_id,
                    "decision_id": decision_id,
                    "matched_rule": matched_rule,
                    "since": since,
                    "until": until,
                }
            ),
            view=audit_pb2.AUDIT_VIEW_ROWS,
            limit=limit,
            newest_first=newest_first,
            follow=follow,
            resume_after=resume_after,
        )
        yield from self._audit(AuditFeed(self._settings, request))

    def stream_records(
        self, *, follow: bool = False, resume_after: int | None = None
    ) -> Generator[types.AuditRecord, None, None]:
        """The records as they stand in the log, oldest first. Needs an auditor."""
        request = audit_pb2.StreamAuditRequest(view=audit_pb2.AUDIT_VIEW_RECORDS, follow=follow, resume_after=resume_after)
        yield from self._audit(AuditFeed(self._settings, request))

    def _audit(self, feed: AuditFeed) -> Generator[Any, None, None]:
        while True:
            failure: AegisError | None = None
            try:
                with closing(self._transport.stream(feed.open())) as messages:
                    for message in messages:
                        for item in feed.take(message):
                            yield item
                if feed.ended():
                    return
            except AegisError as error:
                failure = error
            time.sleep(feed.broken(failure))

    def get_stats(self, top: int = 5) -> types.Stats:
        """Totals of the whole record. Needs an auditor."""
        return self._run(_operations.get_stats(self._settings, top))

    def get_policy(self, revision: str | None = None) -> types.PolicyInfo:
        """The policy in force, or an earlier revision. Needs an admin."""
        return self._run(_operations.get_policy(self._settings, revision))

    def validate_policy(self, *layers: types.PolicyLayer) -> types.Validation:
        """Whether a policy is valid, and everything that is wrong with it. Needs an admin."""
        return self._run(_operations.validate_policy(self._settings, layers))

    def update_policy(self, yaml: str, *, expected_revision: str | None = None) -> types.PolicyInfo:
        """Puts a new policy in force and writes it to the daemon's policy file. Needs an admin.

        Args:
            yaml: The new text of the one policy file.
            expected_revision: The revision that it replaces; None: whatever is in force.
        """
        return self._run(_operations.update_policy(self._settings, yaml, expected_revision))

    def create_token(self, name: str, roles: Sequence[str], *, actor: str = "", lifetime: float | None = None) -> str:
        """Makes a token and gives its secret, which cannot be shown again. Needs an admin.

        Args:
            name: Who will hold it.
            roles: Of `agent`, `reviewer`, `auditor`, `admin`.
            actor: The one actor that it may act for; empty for any.
            lifetime: Seconds that it works; None: until it is revoked.
        """
        return self._run(_operations.create_token(self._settings, name, roles, actor, lifetime))

    def _run(self, operation: _operations.Operation[T]) -> T:
        return self._transport.run(operation)

    def close(self) -> None:
        """Ends the connection. Closing twice is fine."""
        self._transport.close()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncAegisClient(_Client):
    """A connection to the sidecar, for asyncio.

    Connects when it is first used, under any event loop. Close it, or use it in an `async with` statement.

    Args:
        endpoint: `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`. None: `AEGIS_ENDPOINT`, else
            `http://127.0.0.1:50051`.
        api_key: The credential. None: `AEGIS_TOKEN`, else none. An empty one sends none, whatever the environment holds:
            the caller is an anonymous agent. It is sent only over `https://`, a unix socket or loopback.
        timeout: Seconds that one attempt of one call may take. Waiting for a reviewer is not a call in this sense.
        retries: How many more attempts there are after a failure that may pass.
        retry_delay: Seconds before the first retry; each further one waits twice as long, at most 30 s, with jitter.
        tls: Whose certificates to believe and which to show at an `https://` endpoint.

    Raises:
        AegisError: The endpoint cannot be understood, or the credential would travel in the open.
    """

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
            idempotency_key: Makes a retry of your own safe: the same key within 24 hours is the same proposal. Without one,
                the SDK's own retries are one proposal, and every call is another.
            confirmation_token: That of an earlier `REQUIRE_CONFIRMATION`, once the agent's user has confirmed.
            wait: Seconds to wait for a reviewer before the answer `ESCALATE` is given.
            raise_on_deny: Whether a `DENY` is raised as `ActionDenied`.

        Raises:
            InvalidActionError: The action cannot be sent whole. It was not sent.
            GovernanceError: The daemon refused the proposal, or answered something that this SDK does not know.
            AegisError: The call failed: the action must not run.
        """
        return await self._run(
            _operations.propose(
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
        """Asks what the policy would answer: no record, and nobody is asked.

        Args:
            action: The action.
            actor: Who would propose it.
            at: The moment that time conditions see; now without it. Needs an auditor or an admin.
            explain: Whether to say why, rule by rule. Needs an auditor or an admin.
        """
        return (await self.evaluate_many([action], actor=actor, at=at, explain=explain))[0]

    async def evaluate_many(
        self,
        actions: Sequence[ActionLike],
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> list[types.Evaluation]:
        """`evaluate` for many actions at once: one answer each, in order."""
        return await self._run(_operations.evaluate(self._settings, actions, actor=actor, at=at, explain=explain))

    async def wait(self, decision: types.Decision | str, timeout: float | None = None) -> types.Decision:
        """Waits until a reviewer has decided, or the question has expired. Outlives a daemon that is started again.

        Args:
            decision: The decision, or its id. One that is known by its id alone has no `action` in the answer.
            timeout: Seconds to wait at most; the answer may be `ESCALATE` then. 0 asks how it stands. None: until it is
                decided.
        """
        return await self._run(_operations.wait(self._settings, decision, timeout))

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
        """Says what came of an allowed action. The same report again is answered alike.

        Args:
            decision: The decision that allowed it, or its id.
            status: `success`, `failed`, `skipped` or `rolled_back`.
            data: What it returned, for the record. What JSON does not have stands there as text.
            error: What went wrong, for the record.
            started_at: When it began.
            completed_at: When it was over.

        Returns:
            The record that holds the report; empty where the same report was there already.
        """
        return await self._run(
            _operations.report(
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
        """Withdraws a proposal that waits for a reviewer or a confirmation, so that nobody approves it any more."""
        return await self._run(_operations.cancel(self._settings, decision, reason))

    async def health(self, service: str = "") -> types.HealthStatus:
        """Whether the daemon is serving: all of it, or one service, for example `aegis.v1.GovernanceService`."""
        return await self._run(_operations.health(self._settings, service))

    async def list_approvals(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        actor_id: str | None = None,
        min_risk_level: RiskLevel | str | None = None,
        limit: int | None = None,
    ) -> list[types.Approval]:
        """What is pending, oldest first. Needs a reviewer."""
        filters = _convert.approval_filter(
            session_id=session_id, action_type=action_type, actor_id=actor_id, min_risk_level=min_risk_level
        )
        return await self._run(_operations.list_approvals(self._settings, filters, limit))

    async def get_approval(self, approval_id: str) -> types.Approval:
        """One approval, pending or ended, with what its session did before. Needs a reviewer."""
        return await self._run(_operations.get_approval(self._settings, approval_id))

    async def approve(
        self, approval: types.Approval | str, *, reason: str = "", expected_action_digest: str | None = None
    ) -> types.Approval:
        """Says yes to exactly what was shown. Needs a reviewer, who is not the proposer.

        Args:
            approval: The approval as it was shown; or its id, with `expected_action_digest`.
            reason: Why, for the record and the agent.
            expected_action_digest: The `action_digest` of what was shown, where only the id is given.

        Returns:
            The approval with its ending: approved, or denied where the policy now in force blocks the action.
        """
        return await self._run(_operations.decide(self._settings, "Approve", approval, expected_action_digest, reason))

    async def deny(
        self, approval: types.Approval | str, *, reason: str = "", expected_action_digest: str | None = None
    ) -> types.Approval:
        """Says no. Otherwise as `approve`."""
        return await self._run(_operations.decide(self._settings, "Deny", approval, expected_action_digest, reason))

    async def stream_approvals(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        actor_id: str | None = None,
        min_risk_level: RiskLevel | str | None = None,
    ) -> AsyncGenerator[types.ApprovalEvent, None]:
        """What is pending, then every change as it happens; resumes by itself, without a gap. Needs a reviewer.

        It goes on until it is closed (`aclose()`) or the daemon refuses it.
        """
        feed = ApprovalFeed(
            self._settings,
            _convert.approval_filter(
                session_id=session_id, action_type=action_type, actor_id=actor_id, min_risk_level=min_risk_level
            ),
        )
        while True:
            failure: AegisError | None = None
            try:
                async with aclosing(self._transport.stream_async(feed.open())) as messages:
                    async for message in messages:
                        events, missing = feed.take(message)
                        for approval_id in missing:
                            events += feed.ended(await self.get_approval(approval_id))
                        for event in events:
                            yield event
            except AegisError as error:
                failure = error
            await asyncio.sleep(feed.broken(failure))

    async def stream_audit(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        action_target: str | None = None,
        risk_level: RiskLevel | str | None = None,
        approval: ApprovalMode | str | None = None,
        outcome: str | None = None,
        result_status: ResultStatus | str | None = None,
        actor_id: str | None = None,
        decision_id: str | None = None,
        matched_rule: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 0,
        newest_first: bool = False,
        follow: bool = False,
        resume_after: int | None = None,
    ) -> AsyncGenerator[types.AuditRow, None]:
        """Rows of the record: one per decision, its approval and result folded in. Needs an auditor.

        Args:
            session_id: Only of this session. Texts match exactly.
            action_type: Only of this type.
            action_target: Only on this target.
            risk_level: Only of this risk.
            approval: Only where the policy asked for this.
            outcome: Only with this outcome, as it stands.
            result_status: Only with this result.
            actor_id: Only by this declared actor.
            decision_id: Only this decision.
            matched_rule: Only where this rule matched.
            since: Not before this moment.
            until: Not after this moment.
            limit: Of what is recorded already, only the newest this many; 0 for all.
            newest_first: Whether what is recorded already comes newest first.
            follow: Whether to go on with what is recorded from then on. A row comes again when it changes. Resumes by itself.
            resume_after: Go on after this `AuditRow.sequence`.
        """
        request = audit_pb2.StreamAuditRequest(
            filter=_convert.audit_filter(
                {
                    "session_id": session_id,
                    "action_type": action_type,
                    "action_target": action_target,
                    "risk_level": risk_level,
                    "approval": approval,
                    "outcome": outcome,
                    "result_status": result_status,
                    "actor_id": actor_id,
                    "decision_id": decision_id,
                    "matched_rule": matched_rule,
                    "since": since,
                    "until": until,
                }
            ),
            view=audit_pb2.AUDIT_VIEW_ROWS,
            limit=limit,
            newest_first=newest_first,
            follow=follow,
            resume_after=resume_after,
        )
        async with aclosing(self._audit(AuditFeed(self._settings, request))) as items:
            async for item in items:
                yield item

    async def stream_records(
        self, *, follow: bool = False, resume_after: int | None = None
    ) -> AsyncGenerator[types.AuditRecord, None]:
        """The records as they stand in the log, oldest first. Needs an auditor."""
        request = audit_pb2.StreamAuditRequest(view=audit_pb2.AUDIT_VIEW_RECORDS, follow=follow, resume_after=resume_after)
        async with aclosing(self._audit(AuditFeed(self._settings, request))) as items:
            async for item in items:
                yield item

    async def _audit(self, feed: AuditFeed) -> AsyncGenerator[Any, None]:
        while True:
            failure: AegisError | None = None
            try:
                async with aclosing(self._transport.stream_async(feed.open())) as messages:
                    async for message in messages:
                        for item in feed.take(message):
                            yield item
                if feed.ended():
                    return
            except AegisError as error:
                failure = error
            await asyncio.sleep(feed.broken(failure))

    async def get_stats(self, top: int = 5) -> types.Stats:
        """Totals of the whole record. Needs an auditor."""
        return await self._run(_operations.get_stats(self._settings, top))

    async def get_policy(self, revision: str | None = None) -> types.PolicyInfo:
        """The policy in force, or an earlier revision. Needs an admin."""
        return await self._run(_operations.get_policy(self._settings, revision))

    async def validate_policy(self, *layers: types.PolicyLayer) -> types.Validation:
        """Whether a policy is valid, and everything that is wrong with it. Needs an admin."""
        return await self._run(_operations.validate_policy(self._settings, layers))

    async def update_policy(self, yaml: str, *, expected_revision: str | None = None) -> types.PolicyInfo:
        """Puts a new policy in force and writes it to the daemon's policy file. Needs an admin.

        Args:
            yaml: The new text of the one policy file.
            expected_revision: The revision that it replaces; None: whatever is in force.
        """
        return await self._run(_operations.update_policy(self._settings, yaml, expected_revision))

    async def create_token(self, name: str, roles: Sequence[str], *, actor: str = "", lifetime: float | None = None) -> str:
        """Makes a token and gives its secret, which cannot be shown again. Needs an admin.

        Args:
            name: Who will hold it.
            roles: Of `agent`, `reviewer`, `auditor`, `admin`.
            actor: The one actor that it may act for; empty for any.
            lifetime: Seconds that it works; None: until it is revoked.
        """
        return await self._run(_operations.create_token(self._settings, name, roles, actor, lifetime))

    async def _run(self, operation: _operations.Operation[T]) -> T:
        return await self._transport.run_async(operation)

    async def close(self) -> None:
        """Ends the connection. Closing twice is fine."""
        await asyncio.to_thread(self._transport.close)

    async def __aenter__(self: A) -> A:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
