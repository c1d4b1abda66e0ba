"""Playwright: run actions in a browser. Needs the extra `playwright` and a browser.

| type | params | data |
| --- | --- | --- |
| `navigate` | `url` (or the target) | `{url, status, title}` |
| `click` | `selector` | `{url}` |
| `fill` | `selector`, `value` | `{}` |
| `read` | `selector`; without, the whole page | `{text}` |
| `screenshot` | `path`, `selector` | `{path, bytes}` |

The `value` of a `fill` is a secret: it is proposed and recorded as `[masked, N characters]`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Playwright, async_playwright

from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action, Secret
from aegis.errors import InvalidActionError

__all__ = ["PlaywrightExecutor"]

_PARAMS = {
    "navigate": ({"url"}, {"url"}),
    "click": ({"selector"}, {"selector"}),
    "fill": ({"selector", "value"}, {"selector", "value"}),
    "read": (set(), {"selector"}),
    "screenshot": ({"path"}, {"path", "selector"}),
}


class PlaywrightExecutor(BaseExecutor):
    """Runs actions in one page of one browser. The browser starts with the first action that is allowed.

    What a page does by itself, and where a click leads, is not proposed: govern what matters on the server's side, too.

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
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._page: Page | None = None
        # One page does one thing at a time.
        self._turn: asyncio.Lock | None = None

    def prepare(self, action: Action) -> Action:
        """Checks the params, hides what is filled in, and holds URL and target together."""
        kind = action.type.lower()
        if kind not in _PARAMS:
            raise InvalidActionError("type", f"`{action.type}` is none of {', '.join(_PARAMS)}")
        params, target = dict(action.params), action.target
        if kind == "navigate":
            params["url"], target = _url(params.get("url"), target)
        required, known = _PARAMS[kind]
        for name in sorted(required - set(params)):
            raise InvalidActionError(f"params.{name}", f"must be given to {kind}")
        for name in sorted(set(params) - known):
            raise InvalidActionError(f"params.{name}", f"no param of {kind}: there are {', '.join(sorted(known))}")
        if kind == "fill" and not self._record_value and not isinstance(params["value"], Secret):
            params["value"] = Secret(str(params["value"]))
        return Action(kind, target, params, action.description)

    async def setup(self) -> None:
        """Starts the browser."""
        self._turn = asyncio.Lock()
        self._playwright = await async_playwright().start()
        try:
            browser: Browser = await getattr(self._playwright, self._browser_type).launch(
                headless=self._headless,
                executable_path=None if self._executable_path is None else os.fspath(self._executable_path),
                args=self._args,
            )
            self._browser = browser
            self._page = page = await browser.new_page()
            page.set_default_timeout(self._timeout * 1000)
        except BaseException:
            await self.teardown()
            raise

    async def teardown(self) -> None:
        """Ends it."""
        browser, self._browser, self._page = self._browser, None, None
        playwright, self._playwright = self._playwright, None
        try:
            if browser is not None:
                await browser.close()
        finally:
            if playwright is not None:
                await playwright.stop()

    async def execute(self, action: Action) -> Any:
        """Does it."""
        if self._page is None or self._turn is None:
            raise RuntimeError("the browser is not running: run the executor by a Runtime")
        async with self._turn:
            return await getattr(self, f"_{action.type}")(self._page, action.params)

    async def _navigate(self, page: Page, params: Any) -> dict[str, Any]:
        response = await page.goto(params["url"])
        status = None if response is None else response.status
        return {"url": page.url, "status": status, "title": await page.title()}

    async def _click(self, page: Page, params: Any) -> dict[str, Any]:
        await page.click(params["selector"])
        return {"url": page.url}

    async def _fill(self, page: Page, params: Any) -> dict[str, Any]:
        value = params["value"]
        await page.fill(params["selector"], value.reveal() if isinstance(value, Secret) else str(value))
        return {}

    async def _read(self, page: Page, params: Any) -> dict[str, Any]:
        return {"text": await page.inner_text(params.get("selector") or "body")}

    async def _screenshot(self, page: Page, params: Any) -> dict[str, Any]:
        path = Path(params["path"])
        selector = params.get("selector")
        shot = await (page.locator(selector).screenshot(path=path) if selector else page.screenshot(path=path))
        return {"path": str(path), "bytes": len(shot)}


def _url(url: Any, target: str) -> tuple[str, str]:
    """The URL of a `navigate`, and its target: a rule on the one is not dodged by the other."""
    given = str(url or target)
    parts = urlsplit(given)
    if parts.scheme.lower() not in {"http", "https", "about", "data", "file"}:
        raise InvalidActionError("params.url", f"`{given}` is not an absolute URL")
    if parts.scheme.lower() in {"http", "https"} and (not parts.hostname or parts.username or parts.password):
        raise InvalidActionError("params.url", "must have a host, and neither user nor password")
    scheme, netloc = parts.scheme.lower(), parts.netloc.lower()
    plain = parts._replace(scheme=scheme, netloc=netloc).geturl()
    if url is None or "://" in target:
        if url is not None and target.lower() != given.lower():
            raise InvalidActionError("target", f"is another URL than params.url (`{given}`)")
        target = plain
    return plain, target
