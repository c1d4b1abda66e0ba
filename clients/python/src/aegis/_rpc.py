"""From gRPC's errors to the SDK's, and which of them a retry may mend."""

from __future__ import annotations

import random
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from aegis import _reasons
from aegis._proto import policy_pb2
from aegis.core.errors import AegisError, FieldViolation, GovernanceError

LONGEST_DELAY = 30.0
"""Seconds; no retry waits longer."""

# The governance system understood the call and refused it. All other codes are transport: network, deadline,
# credential.
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
}
# Anything else that is not permitted is about the credential.
_REFUSAL_REASONS = {_reasons.ACTOR_NOT_ALLOWED, _reasons.OWN_PROPOSAL}


def to_error(error: grpc.RpcError, where: str) -> AegisError:
    """The error as the SDK's users see it. `where` is the endpoint."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = (error.details() if isinstance(error, grpc.Call) else str(error)) or ""
    if code is grpc.StatusCode.CANCELLED and details == "Timeout expired":
        # The daemon keeps the deadline too, may notice a moment before this side does, and calls it so.
        code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason, metadata, violations = "", {}, []
    retry_after: float | None = None
    for detail in _details(error):
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        findings = policy_pb2.PolicyFindings()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations += [FieldViolation(wrong.field, wrong.description) for wrong in bad.field_violations]
        elif detail.Unpack(findings):
            violations += [
                FieldViolation(f"{wrong.file}:{wrong.line}:{wrong.column}", wrong.message)
                for wrong in findings.findings
            ]
        elif detail.Unpack(retry):
            retry_after = max(0.0, retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
    refused = code in _REFUSALS or reason in _REFUSAL_REASONS
    message = details or code.name
    if len(violations) > 1:
        message += "".join(f"\n  {wrong.field}: {wrong.description}" for wrong in violations)
    if not refused and not reason:
        message = f"{where}: {code.name}: {message}"
        if code is grpc.StatusCode.UNAVAILABLE:
            message += " (is the daemon running? `aegis serve` starts one; AEGIS_ENDPOINT names another)"
    kind = GovernanceError if refused else AegisError
    return kind(
        message, code=code.name, reason=reason, metadata=metadata, violations=violations, retry_after=retry_after
    )


def _details(error: grpc.RpcError) -> list[any_pb2.Any]:
    if not isinstance(error, grpc.Call):
        return []
    metadata: Any = error.trailing_metadata()
    for key, value in metadata or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def may_pass(error: AegisError) -> bool:
    """Whether the same call, sent again, may succeed: the daemon says so, or did not answer at all."""
    return error.retry_after is not None or (error.code == "UNAVAILABLE" and not error.reason)


def may_have_arrived(error: AegisError) -> bool:
    """Whether the daemon may have done what it was asked, although the call failed: only the answer was lost."""
    return error.code == "UNAVAILABLE"


def pause_after(error: AegisError | None, base: float, attempt: int) -> float:
    """How long to wait before attempt number `attempt + 1`.

    As long as the daemon says, and up to a quarter more, so that not all who were refused come back at once. Where it
    says nothing: exponential, with jitter. Never longer than `LONGEST_DELAY`.
    """
    if error is not None and error.retry_after is not None:
        return min(error.retry_after * random.uniform(1.0, 1.25), LONGEST_DELAY)
    return float(min(base * 2 ** min(attempt, 30), LONGEST_DELAY)) * random.uniform(0.5, 1.0)
