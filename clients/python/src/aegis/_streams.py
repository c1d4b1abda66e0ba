"""Streams that resume by themselves, without the I/O: what a message means, and what to do when the stream breaks."""

from __future__ import annotations

from typing import Any

from aegis import _answers, types
from aegis._operations.effects import SHORTEST_PAUSE, Call
from aegis._proto import approval_pb2, audit_pb2
from aegis._rpc import may_pass, pause_after
from aegis._settings import Settings
from aegis.core.errors import AegisError


class _Resuming:
    """When to open a stream again. One that was open once is opened again for as long as it takes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._failures = 0
        self._was_open = False

    def heard(self) -> None:
        """A message came."""
        self._failures = 0
        self._was_open = True

    def broken(self, error: AegisError | None) -> float:
        """How long to pause before the stream is opened again. Raises where that would not help.

        An `error` of None means that the stream ended without one.
        """
        if error is not None and not may_pass(error):
            raise error
        if error is not None and not self._was_open and self._failures >= self._settings.retries:
            raise error
        pause = max(pause_after(error, self._settings.retry_delay, self._failures), SHORTEST_PAUSE)
        self._failures += 1
        return pause


class ApprovalFeed(_Resuming):
    """Makes one gapless sequence of events of as many streams as it takes."""

    def __init__(self, settings: Settings, filters: approval_pb2.ApprovalFilter) -> None:
        super().__init__(settings)
        self._request = approval_pb2.StreamApprovalsRequest(filter=filters)
        self._known: dict[str, types.Approval] = {}
        self._snapshot: set[str] = set()
        self._in_snapshot = True
        self._told_of_snapshot = False

    def open(self) -> Call:
        """How to open the next stream."""
        self._snapshot, self._in_snapshot = set(), True
        return Call("StreamApprovals", self._request, None)

    def take(self, message: approval_pb2.StreamApprovalsResponse) -> tuple[list[types.ApprovalEvent], list[str]]:
        """The events of a message, and the ids of approvals that ended unseen: ask for each, then call `ended`."""
        self.heard()
        kind = message.WhichOneof("event")
        if kind == "pending":
            return self._pending(_answers.approval(message.pending)), []
        if kind == "ended":
            return self.ended(_answers.approval(message.ended)), []
        if kind == "lagged":
            self._snapshot, self._in_snapshot = set(), True
        elif kind == "snapshot_complete":
            missing = [approval_id for approval_id in self._known if approval_id not in self._snapshot]
            self._in_snapshot = False
            if not self._told_of_snapshot:
                self._told_of_snapshot = True
                return [types.ApprovalEvent("snapshot_complete")], missing
            return [], missing
        return [], []

    def _pending(self, approval: types.Approval) -> list[types.ApprovalEvent]:
        if self._in_snapshot:
            self._snapshot.add(approval.approval_id)
        known = self._known.get(approval.approval_id)
        if known is not None and known.version >= approval.version:
            return []
        self._known[approval.approval_id] = approval
        return [types.ApprovalEvent("pending", approval)]

    def ended(self, approval: types.Approval) -> list[types.ApprovalEvent]:
        """An approval has ended."""
        self._known.pop(approval.approval_id, None)
        return [types.ApprovalEvent("ended", approval)]


class AuditFeed(_Resuming):
    """Rows or records, resumed after the last one that came."""

    def __init__(self, settings: Settings, request: audit_pb2.StreamAuditRequest) -> None:
        super().__init__(settings)
        self._request = request
        self._delivered = False

    def open(self) -> Call:
        """How to open the next stream."""
        if self._request.resume_after:
            # It says how much of what is recorded already is wanted, and that was said by the first stream.
            self._request.ClearField("limit")
        return Call("StreamAudit", self._request, None)

    def take(self, message: audit_pb2.StreamAuditResponse) -> list[Any]:
        """What a message holds."""
        self.heard()
        kind = message.WhichOneof("event")
        if message.cursor:
            # From here on the stream is in the order of the log, and can be resumed.
            self._request.resume_after = message.cursor
            self._request.newest_first = False
        if kind == "row":
            self._delivered = True
            return [_answers.audit_row(message.row, message.cursor)]
        if kind == "record":
            self._delivered = True
            return [_answers.audit_record(message.record, message.cursor)]
        # A row that has left the filter was given as what it was; nothing is to be said of the rest.
        return []

    def ended(self) -> bool:
        """A stream ended without an error: whether that was all."""
        return not self._request.follow

    def broken(self, error: AegisError | None) -> float:
        """As above; but what cannot be resumed is not begun anew once a part of it was given."""
        if error is not None and self._delivered and self._request.newest_first:
            raise error
        return super().broken(error)
