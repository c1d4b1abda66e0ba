"""Playwright: run actions in a browser. Needs the extra `playwright` and a browser.

| type | params | data |
| --- | --- | --- |
| `navigate` | `url` (or the target); proposed: `query`, `fragment` | `{url, status, title}` |
| `click` | `selector` | `{url}` |
| `fill` | `selector`, `value` | `{}` |
| `read` | `selector`; without, the whole page | `{text}` |
| `screenshot` | `path`, `selector` | `{path, bytes}` |

A URL is proposed normalised and without query and fragment, as an HTTP request's is: `navigate` has them as params. The
target of the others is what the action says: a plan is made before the page is there. The `value` of a `fill` is a
secret: it is proposed and recorded as `[masked, N characters]`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from playwright.async_api import Browser, Page, Playwright, async_playwright

from aegis.adapters._httpx.url import normalised_url, query_of, target_of
from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action, Secret
from aegis.errors import InvalidActionError

__all__ = ["PlaywrightExecutor"]

_PARAMS = {
    "navigate": (set(), {"query", "fragment"}),
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
            target, of_url = _destination(params.pop("url", None), target)
            params |= of_url
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
            if action.type == "navigate":
                return await self._navigate(self._page, action.params, action.target)
            return await getattr(self, f"_{action.type}")(self._page, action.params)

    async def _navigate(self, page: Page, params: Any, target: str) -> dict[str, Any]:
        response = await page.goto(_to_visit(target, params))
        status = None if response is None else response.status
        return {"url": _where(page.url), "status": status, "title": await page.title()}

    async def _click(self, page: Page, params: Any) -> dict[str, Any]:
        await page.click(params["selector"])
        return {"url": _where(page.url)}

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


def _destination(url: Any, target: str) -> tuple[str, dict[str, Any]]:
    """The target of a `navigate`, and the rest of its URL as params: a rule on the one is not dodged by the other."""
    given = str(url or target)
    params: dict[str, Any]
    scheme = urlsplit(given).scheme.lower()
    if scheme in {"about", "data", "file"}:
        plain, params = given, {}
    else:
        try:
            normal = normalised_url(given)
            plain, params = target_of(normal), {"query": query_of(normal), "fragment": given.partition("#")[2]}
        except InvalidActionError as error:
            raise InvalidActionError("params.url", str(error)) from None
        params = {name: value for name, value in params.items() if value}
    if url is not None and "://" in target and _destination(None, target) != (plain, params):
        raise InvalidActionError("target", f"is another URL than params.url (`{plain}`)")
    return plain, params


def _to_visit(target: str, params: Any) -> str:
    """The URL that was proposed."""
    query, fragment = params.get("query"), params.get("fragment")
    return target + (f"?{urlencode(query, doseq=True)}" if query else "") + (f"#{fragment}" if fragment else "")


def _where(url: str) -> str:
    """Where a page is, without query and fragment, in which credentials may stand."""
    if not url.startswith(("http://", "https://")):
        return url
    return re.split(r"[?#]", url, maxsplit=1)[0]
