"""Passes requests on to the daemon, with the caller's credential and no other, and its answers back as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aegis._settings import Settings
from aegis.server.callers import Caller, Callers
from aegis.server.door import TOKEN, route_path
from aegis.server.problems import Problem

_UP = ("accept", "content-type", "if-match", "last-event-id", "traceparent", "tracestate")
"""What the daemon reads of a request, beside the credential. The door has read what browsers say."""
_DOWN = (
    "aegis-decision-id",
    "allow",
    "cache-control",
    "content-length",
    "content-security-policy",
    "content-type",
    "etag",
    "location",
    "retry-after",
    "www-authenticate",
    "x-content-type-options",
)

Settle = Callable[[Request, int], None]
"""Is told the status of each answer."""


class Forwarded(Response):
    """The daemon's answer. It ends when the caller hangs up."""

    def __init__(
        self, callers: Callers, request: Request, body: bytes, settle: Settle, *, query: bytes | None = None
    ) -> None:
        self._callers, self._request, self._body, self._settle = callers, request, body, settle
        self._query = request.scope["query_string"] if query is None else query
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the request on, and the answer back."""
        passing = asyncio.ensure_future(self._pass_on(scope, receive, send))
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait({passing, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (passing, gone):
                if not task.done():
                    task.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)
        if not passing.cancelled():
            passing.result()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.AsyncExitStack() as stack:
            try:
                caller = await stack.enter_async_context(self._callers.of(scope[TOKEN]))
                answer = await sent(caller, self._request, self._body, self._query)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
            stack.push_async_callback(answer.aclose)
            self._settle(self._request, answer.status_code)
            head = [(name, value) for name, value in answer.headers.items() if name in _DOWN]
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def sent(caller: Caller, request: Request, body: bytes, query: bytes) -> httpx.Response:
    """The daemon's answer, whose body is still to be read."""
    scope = request.scope
    path = scope.get("raw_path") if not scope.get("root_path") else None
    url = caller.base.copy_with(raw_path=(path or quote(route_path(scope)).encode()) + (b"?" + query if query else b""))
    headers = {name: request.headers[name] for name in _UP if name in request.headers}
    settings = caller.transport.settings
    for attempt in range(2):
        passed_on = caller.http.build_request(scope["method"], url, headers=headers, content=body or None)
        try:
            return await caller.http.send(passed_on, stream=True, follow_redirects=False)
        except httpx.ConnectError as error:
            # Nothing was sent. A sidecar of the app's own is started again, once.
            if attempt > 0 or settings.revive is None:
                raise _unreachable(settings, error) from error
            await asyncio.to_thread(settings.revive)
        except httpx.HTTPError as error:
            raise _unreachable(settings, error) from error
    raise AssertionError("the second attempt returns or raises")


def _unreachable(settings: Settings, error: Exception) -> Problem:
    why = f"the sidecar at {settings.address.url} does not answer: {type(error).__name__}: {error}"
    return Problem("NOT_SERVING", 503, why, retry_after=1.0)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def until_hung_up(request: Request, waiting: asyncio.Future[Any]) -> None:
    """Waits for a future, unless the caller hangs up before."""
    gone = asyncio.ensure_future(_hung_up(request.receive))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
