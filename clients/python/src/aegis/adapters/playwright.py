"""Playwright: runs actions in a browser. Needs the extra `playwright` and a browser.

| type | params | data |
| --- | --- | --- |
| `navigate` | `url` (or the target); proposed: `query`, `fragment` | `{url, status, title}` |
| `click` | `selector`; proposed: `element` | `{url}` |
| `fill` | `selector`, `value`; proposed: `element` | `{}` |
| `read` | `selector`; without, the whole page; proposed: `element` | `{text}` |
| `screenshot` | `path`, `selector`; proposed: `element` | `{path, bytes}` |

The target of a `navigate` is the URL, normalised and without query and fragment, as an HTTP request's is. The target of
the others is where the page is: its own URL, or its frame's, and not what the action calls it (that is proposed as
`label`). Of an element, what it says of itself is proposed: `{tag, text, href, action, digest}`. Both are looked at
again just before the action runs, and it does not run where they have changed. A plan is made before the page is there,
and asks about the target that the action names.

Every document that the browser loads is proposed as a `navigate`: a link, a redirect, a frame, a window. Requests that
a page's scripts make are not, nor are its downloads: govern what matters on the server's side, too. No document is
loaded ahead of time.

The `value` of a `fill` is a secret: it is proposed and recorded as `[masked, N characters]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import ElementHandle, Error, Page, async_playwright

from aegis.adapters._browser.destination import destination, to_visit, where
from aegis.adapters._browser.elements import Element, find
from aegis.adapters._browser.launch import launch
from aegis.adapters._browser.navigation import Navigation, first_line
from aegis.adapters.base import BaseExecutor, Governor
from aegis.core.action import Action, Secret
from aegis.core.errors import GovernanceError, InvalidActionError
from aegis.core.result import Result
from aegis.core.status import ResultStatus

__all__ = ["PlaywrightExecutor"]

_PARAMS = {
    "navigate": (set(), {"query", "fragment"}),
    "click": ({"selector"}, {"selector"}),
    "fill": ({"selector", "value"}, {"selector", "value"}),
    "read": (set(), {"selector"}),
    "screenshot": ({"path"}, {"path", "selector"}),
}
_MOST_WRITTEN = 1000
"""How many URLs are kept as they were written, for actions whose turn has not come."""
SETTLE = 2.0
"""Seconds; how long an action waits for the documents that it leads to, where no reviewer is asked about them."""


class PlaywrightExecutor(BaseExecutor):
    """Runs actions in one page of one browser. The browser starts with the first action that is allowed.

    Args:
        headless: Whether the browser has no window.
        browser_type: Which browser.
        executable_path: A browser of the system's. None: the one that `playwright install` has downloaded.
        args: More of its command line.
        timeout: Seconds for each action.
        record_value: Whether the `value` of a `fill` is proposed and recorded as it is.
    """

    def __init__(
        self,
        *,
        headless: bool = True,
        browser_type: Literal["chromium", "firefox", "webkit"] = "chromium",
        executable_path: str | os.PathLike[str] | None = None,
        args: Sequence[str] = (),
        timeout: float = 30.0,
        record_value: bool = False,
    ) -> None:
        self._headless, self._browser_type = headless, browser_type
        self._executable_path, self._args = executable_path, list(args)
        self._timeout, self._record_value = timeout, record_value
        self._closing: contextlib.AsyncExitStack | None = None
        self._page: Page | None = None
        self._runtime: Governor | None = None
        self._navigation = Navigation(lambda: self._runtime)
        self._written: dict[tuple[str, str], str] = {}
        # One page does one thing at a time.
        self._turn: asyncio.Lock | None = None

    def attach(self, runtime: Governor) -> None:
        """Takes the runtime that documents are proposed to."""
        self._runtime = runtime

    def prepare(self, action: Action) -> Action:
        """Checks the params, hides what is filled in, and holds URL and target together."""
        kind = action.type.lower()
        if kind not in _PARAMS:
            raise InvalidActionError("type", f"`{action.type}` is none of {', '.join(_PARAMS)}")
        params, target = dict(action.params), action.target
        if kind == "navigate":
            target, of_url, written = _destination(params.pop("url", None), target)
            params |= of_url
            self._written[target, repr(of_url)] = written
            while len(self._written) > _MOST_WRITTEN:
                self._written.pop(next(iter(self._written)))
        required, known = _PARAMS[kind]
        for name in sorted(required - set(params)):
            raise InvalidActionError(f"params.{name}", f"must be given to {kind}")
        for name in sorted(set(params) - known):
            raise InvalidActionError(f"params.{name}", f"no param of {kind}: there are {', '.join(sorted(known))}")
        if kind == "fill" and not self._record_value and not isinstance(params["value"], Secret):
            params["value"] = Secret(str(params["value"]))
        if kind == "screenshot":
            # Where it is written: neither dots nor links dodge a rule.
            params["path"] = os.path.realpath(params["path"])
        return Action(kind, target, params, action.description)

    async def describe(self, action: Action) -> Action:
        """The page's own URL, and what the element says of itself."""
        if action.type == "navigate":
            return action
        params = dict(action.params)
        if action.target:
            params["label"] = action.target
        described, _ = await self._looked_at(Action(action.type, "about:blank", params, action.description))
        return described

    async def _looked_at(self, action: Action) -> tuple[Action, Element | None]:
        """An action with where it would act now, and the element that it would act on."""
        page, params = self._page, dict(action.params)
        if page is None:
            return action, None
        target, element = page.url, None
        if params.get("selector"):
            element = await find(page, params["selector"], self._timeout)
            if element is not None:
                target, params["element"] = element.url, element.shown
        return Action(action.type, where(target), params, action.description), element

    async def setup(self) -> None:
        """Starts the browser."""
        self._turn = asyncio.Lock()
        self._closing = closing = contextlib.AsyncExitStack()
        try:
            playwright = await async_playwright().start()
            closing.push_async_callback(playwright.stop)
            options: dict[str, Any] = {"headless": self._headless, "args": self._args}
            if self._executable_path is not None:
                options["executable_path"] = os.fspath(self._executable_path)
            context = await launch(playwright, self._browser_type, options, closing)
            await self._navigation.guard(context)
            self._page = page = context.pages[0] if context.pages else await context.new_page()
            self._navigation.watch(page)
            page.set_default_timeout(self._timeout * 1000)
        except BaseException:
            await self.teardown()
            raise

    async def teardown(self) -> None:
        """Ends it."""
        closing, self._closing, self._page = self._closing, None, None
        if closing is not None:
            await closing.aclose()

    async def execute(self, action: Action) -> Any:
        """Does it, where the page and the element still are what was proposed."""
        page, turn = self._page, self._turn
        if page is None or turn is None:
            raise RuntimeError("the browser is not running: run the executor by a Runtime")
        async with turn:
            try:
                if action.type == "navigate":
                    return await self._navigate(page, action.params, action.target)
                return await self._act(page, action)
            except Error as error:
                raise RuntimeError(first_line(error)) from None

    async def _act(self, page: Page, action: Action) -> Any:
        params = {name: value for name, value in action.params.items() if name != "element"}
        now, element = await self._looked_at(Action(action.type, action.target, params, action.description))
        if (now.target, now.params.get("element")) != (action.target, action.params.get("element")):
            return _changed(action, now)
        if params.get("selector") and element is None:
            raise RuntimeError(f"no element is there for the selector `{params['selector']}`")
        self._navigation.begin()
        handle = None if element is None else element.handle
        data = await getattr(self, f"_{action.type}")(page, handle, params)
        if action.type == "click":
            await self._navigation.settle(min(SETTLE, self._timeout))
            refused = self._navigation.refused
            data = {"url": where(page.url)} | ({"refused": refused} if refused else {})
        return data

    async def _navigate(self, page: Page, params: Any, target: str) -> Any:
        # As it was written, where that is what was proposed: a query made anew might say the same in another way.
        url = self._written.get((target, repr(dict(params))), "")
        if not url or destination(url) != (target, dict(params)):
            url = to_visit(target, params)
        self._navigation.begin(url)
        response = await page.goto(url)
        await self._navigation.settle(self._timeout)
        await page.wait_for_load_state()
        if self._navigation.stopped is not None:
            # A redirect that may not be followed.
            raise RuntimeError(f"led on to {self._navigation.stopped}")
        status = self._navigation.status
        if status is None and response is not None:
            status = response.status
        return {"url": where(page.url), "status": status, "title": await page.title()}

    async def _click(self, page: Page, handle: ElementHandle, params: Any) -> None:
        await handle.click()

    async def _fill(self, page: Page, handle: ElementHandle, params: Any) -> dict[str, Any]:
        value = params["value"]
        await handle.fill(value.reveal() if isinstance(value, Secret) else str(value))
        return {}

    async def _read(self, page: Page, handle: ElementHandle | None, params: Any) -> dict[str, Any]:
        return {"text": await (page.inner_text("body") if handle is None else handle.inner_text())}

    async def _screenshot(self, page: Page, handle: ElementHandle | None, params: Any) -> dict[str, Any]:
        path = Path(params["path"])
        shot = await (page.screenshot(path=path) if handle is None else handle.screenshot(path=path))
        return {"path": str(path), "bytes": len(shot)}


def _changed(action: Action, now: Action) -> Result:
    what = f"the page is at {now.target}" if now.target != action.target else "the element is another one"
    error = GovernanceError(
        f"{what}, and not what was proposed any more, so it does not run: propose it again", reason="ACTION_CHANGED"
    )
    return Result(action, ResultStatus.SKIPPED, error=str(error), exception=error)


def _destination(url: Any, target: str) -> tuple[str, dict[str, Any], str]:
    """The target of a `navigate`, the rest of its URL as params, and the URL as it was written.

    A rule on the one is not dodged by the other: where both are given, they have to be the same.
    """
    if url is not None and not isinstance(url, str):
        raise InvalidActionError("params.url", f"must be a string, not {type(url).__name__}")
    written = url or target
    plain, params = destination(written)
    if url and ":" in target and destination(target) != (plain, params):
        raise InvalidActionError("target", f"is another URL than params.url (`{plain}`)")
    return plain, params, written
