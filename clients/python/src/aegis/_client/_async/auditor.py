"""What auditors call."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from typing import Any

from aegis import _requests, types
from aegis._client._async.connection import AsyncConnection
from aegis._client.streams import AsyncStream
from aegis._operations import auditor
from aegis._proto import audit_pb2
from aegis._streams import AuditFeed
from aegis.core.errors import AegisError
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.core.status import ResultStatus


class AsyncAuditor(AsyncConnection):
    """What auditors call."""

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
    ) -> AsyncStream[types.AuditRow]:
        """Streams rows of the record: one per decision, with its approval and result. Needs an auditor.

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
            follow: Whether to go on with what is recorded from then on. A row comes again when it changes. Resumes by
                itself.
            resume_after: Go on after this `AuditRow.sequence`.
        """
        request = audit_pb2.StreamAuditRequest(
            filter=_requests.audit_filter(
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
    ) -> AsyncStream[types.AuditRecord]:
        """Streams the records of the log, oldest first. Needs an auditor."""
        request = audit_pb2.StreamAuditRequest(
            view=audit_pb2.AUDIT_VIEW_RECORDS, follow=follow, resume_after=resume_after
        )
        async with aclosing(self._audit(AuditFeed(self._settings, request))) as items:
            async for item in items:
                yield item

    async def _audit(self, feed: AuditFeed) -> AsyncStream[Any]:
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
        """Gets the totals of the whole record. Needs an auditor."""
        return await self._run(auditor.get_stats(self._settings, top))
