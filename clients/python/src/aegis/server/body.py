"""Receives the body of a request, within bounds, and reads it as strict JSON, whatever its content type says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request

from aegis.core.errors import FieldViolation
from aegis.server.problems import Problem, invalid

MAX_BYTES = 4 << 20
"""The largest body: what a daemon takes by default."""
MAX_RECEIVING = 64 << 20
"""The most bytes of bodies that are held at once, of all requests together."""
RECEIVE_WITHIN = 30.0
"""Seconds for a body to arrive whole."""


class Receiver:
    """Receives bodies, of all requests together at most `MAX_RECEIVING` bytes at once."""

    def __init__(self) -> None:
        self._held = 0

    async def receive(self, request: Request) -> bytes:
        """The whole body."""
        held = 0
        chunks: list[bytes] = []

        async def read() -> None:
            nonlocal held
            async for chunk in request.stream():
                held += len(chunk)
                self._held += len(chunk)
                if held > MAX_BYTES:
                    raise Problem("MESSAGE_TOO_LARGE", 413, f"the body is larger than {MAX_BYTES} bytes: send less")
                if self._held > MAX_RECEIVING:
                    raise Problem("TOO_MANY_BYTES", 429, "too many bytes of requests are arriving", retry_after=1.0)
                chunks.append(chunk)

        try:
            await asyncio.wait_for(read(), RECEIVE_WITHIN)
        except (TimeoutError, asyncio.TimeoutError):
            why = f"the body did not arrive within {RECEIVE_WITHIN:.0f} s"
            raise Problem("DEADLINE_EXCEEDED", 504, why) from None
        except ClientDisconnect:
            raise Problem("CANCELLED", 400, "the caller ended the request before it had arrived") from None
        finally:
            self._held -= held
        return b"".join(chunks)


def read_json(body: bytes) -> Any:
    """The JSON of a body. A member that is given twice, NaN and what is not UTF-8 are refused."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise invalid(FieldViolation("", f"the body is not UTF-8: {error}")) from None
    except (ValueError, RecursionError) as error:
        raise invalid(FieldViolation("", f"the body is not JSON: {error}")) from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(members)
    if len(read) != len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {twice!r} is given twice")
    return read


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
