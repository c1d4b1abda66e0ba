"""Waits for a reviewer's answer while a handler in this process, itself a reviewer, may give one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aegis import _reasons
from aegis._client import AegisClient, AsyncAegisClient
from aegis._operations import agent
from aegis._transport import Transport
from aegis.core.decision import Decision
from aegis.core.errors import GovernanceError
from aegis.runtime.approval import ApprovalHandler


def asking(
    transport: Transport,
    handler: ApprovalHandler | None,
    reviewer: AegisClient | AsyncAegisClient | None,
    timeout: float | None,
) -> Callable[[Decision], Awaitable[Decision]] | None:
    """How to wait for a decision; None where no handler answers in this process."""
    if handler is None or reviewer is None:
        return None
    asked, client = handler, AsyncAegisClient._over(reviewer._transport)

    async def ask(decision: Decision) -> None:
        approval = await client.get_approval(decision.approval_id or "")
        if not approval.is_pending:
            return
        if approval.action_digest != decision.action_digest:
            raise GovernanceError(
                f"{approval.approval_id} is not about what was proposed", reason=_reasons.DIGEST_MISMATCH
            )
        answer = await asked.request_approval(approval)
        try:
            if answer is True:
                await client.approve(approval)
            elif answer is not None:
                await client.deny(approval)
        except GovernanceError as error:
            if error.reason not in {_reasons.ALREADY_DECIDED, _reasons.APPROVAL_EXPIRED}:
                raise

    async def wait(decision: Decision) -> Decision:
        waiting = asyncio.ensure_future(transport.run_async(agent.wait(transport.settings, decision, timeout)))
        asking = asyncio.ensure_future(ask(decision))
        try:
            await asyncio.wait({waiting, asking}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await asking
            return await waiting
        finally:
            for task in (waiting, asking):
                task.cancel()
            await asyncio.gather(waiting, asking, return_exceptions=True)

    return wait
