"""What reviewers call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from aegis import _requests, types
from aegis._client._async.connection import AsyncConnection
from aegis._client.streams import AsyncStream
from aegis._operations import reviewer
from aegis._streams import ApprovalFeed
from aegis.core.errors import AegisError
from aegis.filters import ApprovalFilters

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AsyncReviewer(AsyncConnection):
    """What reviewers call."""

    async def list_approvals(
        self,
        *,
        states: Sequence[types.ApprovalState] = (),
        limit: int | None = None,
        **filters: Unpack[ApprovalFilters],
    ) -> list[types.Approval]:
        """Lists approvals, oldest first: what is pending, or those in these states. Needs a reviewer.

        Args:
            states: The states; none: `pending`.
            limit: How many at most.
            filters: As of `ApprovalFilters`.
        """
        wanted = _requests.approval_filter(filters)
        return await self._run(reviewer.list_approvals(self._settings, wanted, states, limit))

    async def get_approval(self, approval_id: str) -> types.Approval:
        """Gets one approval, pending or ended, with the earlier actions of its session. Needs a reviewer."""
        return await self._run(reviewer.get_approval(self._settings, approval_id))

    async def approve(
        self, approval: types.Approval | str, *, reason: str = "", expected_action_digest: str | None = None
    ) -> types.Approval:
        """Approves exactly what was shown. Needs a reviewer who is not the proposer.

        Args:
            approval: The approval as it was shown; or its id, with `expected_action_digest`.
            reason: Why, for the record and the agent.
            expected_action_digest: The `action_digest` of what was shown, where only the id is given.

        Returns:
            The approval with its ending: approved, or denied where the policy now in force blocks the action.
        """
        return await self._run(reviewer.decide(self._settings, "Approve", approval, expected_action_digest, reason))

    async def deny(
        self, approval: types.Approval | str, *, reason: str = "", expected_action_digest: str | None = None
    ) -> types.Approval:
        """Denies exactly what was shown. Its arguments are those of `approve`."""
        return await self._run(reviewer.decide(self._settings, "Deny", approval, expected_action_digest, reason))

    async def stream_approvals(self, **filters: Unpack[ApprovalFilters]) -> AsyncStream[types.ApprovalEvent]:
        """Streams what is pending, then every change. It resumes by itself, without a gap. Needs a reviewer.

        It goes on until it is closed (`aclose()`) or the daemon refuses it. An approval that changes while it is
        pending, by a vote for example, comes again.

        Args:
            filters: As of `ApprovalFilters`, without `approver`.
        """
        feed = ApprovalFeed(self._settings, _requests.approval_filter(filters))
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
