"""Every document that a browser loads is proposed: links, redirects, frames, windows, pages that refresh themselves.

A browser follows redirects by itself, where nobody can ask in between. So a document is fetched one hop at a time: the
answer of a redirect becomes a small page that goes on to the next URL, and that is a navigation as any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from playwright.async_api import APIResponse, BrowserContext, Error, Frame, Page, Request, Route

from aegis.adapters._browser.destination import destination, where
from aegis.adapters.base import Governor
from aegis.core.action import Action
from aegis.core.errors import AegisError
from aegis.core.result import Result
from aegis.core.status import ResultStatus

QUIET = 0.3
"""Seconds; how long an action waits for a document that nobody knows of yet: one that a script begins to load."""
_REDIRECTS = {301, 302, 303, 307, 308}
# What belongs to the answer of the redirect alone, or would keep the small page from going on.
_LEFT_OUT = {
    "content-encoding",
    "content-length",
    "content-security-policy",
    "content-type",
    "location",
    "refresh",
    "transfer-encoding",
    "x-frame-options",
}


class Navigation:
    """Guards the documents of one browser context."""

    def __init__(self, governor: Callable[[], Governor | None]) -> None:
        self._governor = governor
        self._granted: tuple[str, Any] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._moved = asyncio.Event()
        self._arriving = False
        # Frames with the small page of a redirect, which goes on.
        self._going_on: set[Frame | None] = set()
        self.refused: list[str] = []
        """Why documents were not loaded, since `begin`."""
        self.stopped: str | None = None
        """Why the page itself did not go on, since `begin`."""
        self.status: int | None = None
        """The HTTP status of the last document of the page itself."""

    async def guard(self, context: BrowserContext) -> None:
        """Begins to look at every request."""
        await context.route("**/*", self._routed)

    def begin(self, granted: str | None = None) -> None:
        """An action begins. One request for `granted`, which was allowed, is not proposed again."""
        self._granted = None if granted is None else _asked_for(*destination(granted))
        self.refused, self.stopped, self.status = [], None, None
        self._arriving = False
        self._going_on.clear()

    def watch(self, page: Page) -> None:
        """Notes when the page itself has moved to a document."""

        def moved(frame: Frame) -> None:
            if frame.parent_frame is None:
                self._arriving = False
                self._moved.set()

        page.on("framenavigated", moved)

    async def settle(self, timeout: float) -> None:
        """Waits until no document is on its way any more, but no longer than that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (left := deadline - loop.time()) > 0:
            self._moved.clear()
            waiting = {task for task in self._running if not task.done()}
            if waiting:
                await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                continue
            # What is known to come is waited for; for what a script may begin, a moment.
            coming = self._arriving or self._going_on
            try:
                await asyncio.wait_for(self._moved.wait(), left if coming else min(QUIET, left))
            except asyncio.TimeoutError:
                return

    async def _routed(self, route: Route, request: Request) -> None:
        if "prefetch" in request.headers.get("sec-purpose", ""):
            # A document that nobody has asked for yet.
            await route.abort("blockedbyclient")
            return
        if not request.is_navigation_request():
            await route.continue_()
            return
        self._going_on.discard(_frame(request))
        self._moved.set()
        task = asyncio.ensure_future(self._document(route, request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await task

    async def _document(self, route: Route, request: Request) -> None:
        try:
            target, params = destination(request.url)
            if self._granted == _asked_for(target, params):
                self._granted = None
                await self._load(route, request)
                return
            governor = self._governor()
            if governor is None:
                raise AegisError("nobody can be asked: run the executor by a Runtime")
            result = await governor.call(
                Action("navigate", target, params | {"from": _from(request)}, "The page leads there."),
                self._loading(route, request),
            )
        except AegisError as error:
            await self._refuse(route, request, f"{where(request.url)}: {error}")
            return
        if result.decision is None or not result.decision.allowed:
            await self._refuse(route, request, f"{target}: {result.error}")

    def _loading(self, route: Route, request: Request) -> Callable[[Action], Any]:
        async def load(action: Action) -> Result:
            status = await self._load(route, request)
            failed = status is None or status >= 400
            return Result(
                action,
                ResultStatus.FAILED if failed else ResultStatus.SUCCESS,
                data={"status": status},
                error=f"HTTP {status}" if failed else None,
            )

        return load

    async def _load(self, route: Route, request: Request) -> int | None:
        """Loads one document; of a redirect, its answer alone."""
        if not request.url.startswith(("http://", "https://")):
            await route.continue_()
            return None
        try:
            response = await route.fetch(max_redirects=0)
        except Error as error:
            await self._refuse(route, request, f"{where(request.url)}: {first_line(error)}")
            return None
        if _is_top(request):
            self.status = response.status
            # Neither a download nor an answer without a document moves the page.
            self._arriving = response.status not in {204, 205} and "content-disposition" not in response.headers
        with contextlib.suppress(Error):
            # The page may be gone by now.
            await self._fulfil(route, request, response)
        return response.status

    async def _fulfil(self, route: Route, request: Request, response: APIResponse) -> None:
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or location is None:
            await route.fulfill(response=response)
            return
        if request.method not in {"GET", "HEAD"} and response.status in {307, 308}:
            await self._refuse(route, request, f"{where(request.url)}: redirects a {request.method} with its body")
            return
        following = html.escape(urljoin(request.url, location), quote=True)
        kept = {name: value for name, value in response.headers.items() if name not in _LEFT_OUT}
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={following}">'
        self._going_on.add(_frame(request))
        await route.fulfill(status=200, headers=kept | {"content-type": "text/html"}, body=page)

    async def _refuse(self, route: Route, request: Request, why: str) -> None:
        self.refused.append(why)
        if _is_top(request):
            self._arriving, self.stopped = False, why
        with contextlib.suppress(Error):
            await route.abort("blockedbyclient")


def first_line(error: Exception) -> str:
    """What went wrong. What follows the first line of an error of Playwright's quotes the page, and what was typed.

    URLs are quoted without their queries, in which credentials may stand.
    """
    return _AFTER_PATH.sub(r"\1", str(error).partition("\n")[0])


_AFTER_PATH = re.compile(r"""(://[^\s"'?#]*)[?#][^\s"']*""")


def _asked_for(target: str, params: dict[str, Any]) -> tuple[str, Any]:
    """What a server sees of a URL: browsers spell it in their own way, and keep the fragment."""
    return target, params.get("query")


def _frame(request: Request) -> Frame | None:
    try:
        return request.frame
    except Error:
        # The first document of a page whose frame is not known yet.
        return None


def _is_top(request: Request) -> bool:
    frame = _frame(request)
    return frame is None or frame.parent_frame is None


def _from(request: Request) -> str:
    try:
        return where(request.frame.url)
    except Error:
        return ""
