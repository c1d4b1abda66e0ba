from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aegis import Action, InvalidActionError, ResultStatus
from aegis.adapters.playwright import PlaywrightExecutor
from aegis.testing import Sidecar

from .site import Site

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE = """<!doctype html><title>Log in</title>
<input id=password type=password><button onclick="document.body.append(password.value.length)">Go</button>"""
POLICY = """
version: "1"
defaults: { approval: block }
rules:
  - { match: { type: "navigate", target: "{url}/*" }, approval: auto }
  - { match: { type: "fill" }, approval: auto }
  - { match: { type: "read" }, approval: auto }
  - { match: { type: "screenshot" }, approval: auto }
  - { match: { type: "click", target: "form" }, approval: auto }
"""


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site({"/login": (200, {}, PAGE)}).start()
    yield made
    made.stop()


def executor(**options: Any) -> PlaywrightExecutor:
    return PlaywrightExecutor(executable_path=CHROMIUM, args=ARGUMENTS, **options)


async def test_a_browser_session(site: Site, tmp_path: Path) -> None:
    with Sidecar(POLICY.replace("{url}", site.url)) as sidecar:
        async with sidecar.runtime(executor()) as runtime:
            plan = [
                Action("navigate", f"{site.url}/x/../login?token=secret&token=b#top"),
                Action("fill", "form", {"selector": "#password", "value": "hunter2hunter2"}),
                Action("click", "form", {"selector": "button"}),
                Action("click", "shop", {"selector": "button"}),
                Action("read"),
                Action("screenshot", "page", {"path": str(tmp_path / "page.png")}),
                Action("navigate", "https://elsewhere.example/"),
            ]
            results = await runtime.execute(plan)
        statuses = [result.status.value for result in results]
        assert statuses == ["success", "success", "success", "blocked", "success", "success", "blocked"]
        assert results[0].data == {"url": f"{site.url}/login", "status": 200, "title": "Log in"}
        first = sidecar.audit.get_log()[0].action
        assert (first.target, first.params["query"]) == (
            f"{site.url}/login",
            {"token": ["[masked, 6 characters]", "[masked, 1 characters]"]},
        )
        assert first.params["fragment"] == "top"
        assert ("GET", "/login?token=secret&token=b") in site.seen()
        # The page was given the whole secret; nobody else was.
        assert "14" in results[4].data["text"]
        assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
        record = sidecar.audit.to_json()
        assert "hunter2" not in record
        assert "[masked, 14 characters]" in record
        assert "hunter2" not in str(results) + repr(plan[1].params.get("nothing"))
        # A failure that Playwright explains at length does not spill it either.
        async with sidecar.runtime(executor(timeout=0.3)) as runtime:
            await runtime.run_one(Action("navigate", f"{site.url}/login"))
            failed = await runtime.run_one(Action("fill", "form", {"selector": "#no", "value": "hunter2hunter2"}))
        assert failed.status is ResultStatus.FAILED
        assert "hunter2" not in sidecar.audit.to_json()


async def test_nothing_starts_where_nothing_is_allowed(tmp_path: Path) -> None:
    with Sidecar("defaults: {approval: block}") as sidecar:
        missing = PlaywrightExecutor(executable_path=tmp_path / "no-browser")
        async with sidecar.runtime(missing) as runtime:
            assert (await runtime.run_one(Action("read"))).status is ResultStatus.BLOCKED


@pytest.mark.parametrize(
    ("action", "path"),
    [
        (Action("steal"), "type"),
        (Action("click", "form"), "params.selector"),
        (Action("read", "page", {"path": "x"}), "params.path"),
        (Action("navigate", "browser"), "params.url"),
        (Action("navigate", "https://good.example/", {"url": "https://evil.example/"}), "target"),
        (Action("navigate", "", {"url": "https://good.example@evil.example/"}), "params.url"),
    ],
)
def test_what_it_does_not_understand_it_refuses(action: Action, path: str) -> None:
    with pytest.raises(InvalidActionError) as refused:
        PlaywrightExecutor().prepare(action)
    assert refused.value.path == path


def test_case_does_not_dodge_a_rule() -> None:
    action = PlaywrightExecutor().prepare(Action("NAVIGATE", "HTTPS://Shop.Example/Cart"))
    assert (action.type, action.target) == ("navigate", "https://shop.example/Cart")
    assert asyncio.iscoroutinefunction(PlaywrightExecutor().execute)
