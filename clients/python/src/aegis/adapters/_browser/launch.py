"""Starts a browser in which no page can have documents loaded ahead of time.

By speculation rules, a page has its browser fetch and prepare documents that somebody may open next. Playwright sees
neither those requests nor the navigation that then shows such a document, so nobody could be asked about it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Playwright

# "Never" in Chromium's settings: no prefetch, no prerender.
_CHROMIUM = {"net": {"network_prediction_options": 2}}
_FIREFOX = {"network.prefetch-next": False, "network.predictor.enabled": False}


async def launch(
    playwright: Playwright, browser_type: str, options: dict[str, Any], closing: contextlib.AsyncExitStack
) -> BrowserContext:
    """Starts a browser with a profile of its own; `closing` ends it and removes the profile."""
    # A service worker would load documents that nobody sees.
    chosen: dict[str, Any] = {"service_workers": "block"}
    launcher = getattr(playwright, browser_type)
    context: BrowserContext
    if browser_type == "chromium":
        # Settings are read from a profile, and only a persistent context has one.
        profile = closing.enter_context(
            tempfile.TemporaryDirectory(prefix="aegis-browser-", ignore_cleanup_errors=True)
        )
        _prepare(Path(profile))
        context = await launcher.launch_persistent_context(profile, **chosen, **options)
        closing.push_async_callback(context.close)
        return context
    if browser_type == "firefox":
        options = options | {"firefox_user_prefs": _FIREFOX}
    browser = await launcher.launch(**options)
    closing.push_async_callback(browser.close)
    context = await browser.new_context(**chosen)
    return context


def _prepare(profile: Path) -> None:
    settings = profile / "Default" / "Preferences"
    settings.parent.mkdir()
    settings.write_text(json.dumps(_CHROMIUM), encoding="utf-8")
