"""Problem documents (RFC 9457), as the daemon's REST API answers them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from aegis.core.errors import AegisError, FieldViolation, InvalidActionError

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "CANCELLED": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "OUT_OF_RANGE": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The status of a gRPC code. `MESSAGE_TOO_LARGE` has one of its own."""


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """Why a request failed."""

    code: str
    """The code of the error, as in `ErrorInfo` of gRPC."""
    status: int
    detail: str
    violations: Sequence[FieldViolation] = ()
    retry_after: float | None = None
    """Seconds after which the same request may succeed."""

    def response(self) -> Response:
        """The response."""
        document: dict[str, object] = {
            "type": f"urn:aegis:error:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.violations:
            document["violations"] = [
                {"field": wrong.field, "description": wrong.description} for wrong in self.violations
            ]
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        text = json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace")
        return Response(text, self.status, headers, "application/problem+json")


def invalid(*violations: FieldViolation) -> Problem:
    """A request with wrong fields."""
    detail = "; ".join(
        f"{wrong.field}: {wrong.description}" if wrong.field else wrong.description for wrong in violations
    )
    return Problem("INVALID_REQUEST", 400, detail, violations)


def of(error: AegisError, rename: Callable[[str], str] = str) -> Problem:
    """The problem that an error of the SDK is. `rename` calls a field as the request called it."""
    if isinstance(error, InvalidActionError):
        return invalid(FieldViolation(rename(error.path), str(error).removeprefix(f"{error.path}: ")))
    violations = [FieldViolation(rename(wrong.field), wrong.description) for wrong in error.violations]
    if violations and error.reason == "INVALID_REQUEST":
        return invalid(*violations)
    status = _STATUS.get(error.code or "", 500)
    if error.reason == "MESSAGE_TOO_LARGE":
        status = 413
    # Where no daemon answered, gRPC's code is all there is.
    bare = {503: "NOT_SERVING", 504: "DEADLINE_EXCEEDED"}.get(status, "INTERNAL")
    code = error.reason if error.reason and error.code is not None else bare
    return Problem(code, status, str(error), violations, error.retry_after)
