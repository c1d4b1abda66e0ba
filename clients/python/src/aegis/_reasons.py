"""The reasons of errors that this SDK acts on, by the names that the API gives them."""

from __future__ import annotations

from aegis._proto import error_pb2


def _name(reason: int) -> str:
    return error_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")  # type: ignore[arg-type]


ACTOR_NOT_ALLOWED = _name(error_pb2.ERROR_REASON_ACTOR_NOT_ALLOWED)
ALREADY_DECIDED = _name(error_pb2.ERROR_REASON_ALREADY_DECIDED)
APPROVAL_EXPIRED = _name(error_pb2.ERROR_REASON_APPROVAL_EXPIRED)
DIGEST_MISMATCH = _name(error_pb2.ERROR_REASON_DIGEST_MISMATCH)
MESSAGE_TOO_LARGE = _name(error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE)
NOT_PENDING = _name(error_pb2.ERROR_REASON_NOT_PENDING)
OWN_PROPOSAL = _name(error_pb2.ERROR_REASON_OWN_PROPOSAL)
