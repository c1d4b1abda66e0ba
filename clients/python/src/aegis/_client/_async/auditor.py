"""What auditors call."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from aegis import _requests, types
from aegis._client._async.connection import AsyncConnection
from aegis._client.streams import AsyncStream
from aegis._operations import auditor
from aegis._proto import audit_pb2
from aegis._streams import AuditFeed
from aegis.core.errors import AegisError
from aegis.filters import AuditFilters

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AsyncAuditor(AsyncConnection):
    """What auditors call."""

    async def stream_audit(
        self,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        follow: bool = False,
        resume_after: str = "",
        **filters: Unpack[AuditFilters],
    ) -> AsyncStream[types.AuditRow]:
        """Streams rows of the record: one per decision, with its approval and result. Needs an auditor.

        Args:
            limit: Of what is recorded already, only the newest this many; None for all, 0 for none.
            newest_first: Whether what is recorded already comes newest first.
            follow: Whether to go on with what is recorded from then on. A row comes again when it changes. Resumes by
                itself.
            resume_after: Go on after this `AuditRow.cursor`.
            filters: As of `AuditFilters`.
        """
        request = audit_pb2.StreamAuditRequest(
            filter=_requests.audit_filter(filters),
            view=audit_pb2.AUDIT_VIEW_ROWS,
            limit=limit,
            newest_first=newest_first,
            follow=follow,
            resume_after=resume_after,
        )
        async with aclosing(self._audit(AuditFeed(self._settings, request))) as items:
            async for item in items:
                yield item

    async def stream_records(self, *, follow: bool = False, resume_after: str = "") -> AsyncStream[types.AuditRecord]:
        """Streams the records of the log, oldest first. Needs an auditor.

        Args:
            follow: Whether to go on with what is recorded from then on. Resumes by itself.
            resume_after: Go on after this `AuditRecord.cursor`.
        """
        request = audit_pb2.StreamAuditRequest(
            view=audit_pb2.AUDIT_VIEW_RECORDS, follow=follow, resume_after=resume_after
        )
        async with aclosing(self._audit(AuditFeed(self._settings, request))) as items:
            async for item in items:
                yield item

    async def list_decisions(
        self, *, limit: int | None = None, newest_first: bool = False, **filters: Unpack[AuditFilters]
    ) -> list[types.AuditRow]:
        """Lists rows of the record. Needs an auditor.

        Args:
            limit: How many at most.
            newest_first: Whether the newest comes first.
            filters: As of `AuditFilters`.
        """
        wanted = _requests.audit_filter(filters)
        return await self._run(auditor.list_decisions(self._settings, wanted, newest_first, limit))

    async def get_decision(self, id: str) -> types.DecisionLife:  # noqa: A002
        """Gets the whole life of a decision: its row, its approval with the votes, its records. Needs an auditor.

        Args:
            id: Of the decision (`dec_`), of its approval (`apr_`) or of one of its records (`aud_`). Or the beginning
                of one, with at least 8 characters after the prefix.
        """
        return await self._run(auditor.get_decision(self._settings, id))

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
