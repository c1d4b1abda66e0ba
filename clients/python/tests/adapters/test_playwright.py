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
<input id=password type=password><button onclick="document.body.append(password.value.length)">Go</button>
<button id=buy>Buy</button>"""
POLICY = """
version: "1"
defaults: { approval: block }
rules:
  - { match: { type: "navigate", target: "{url}/*" }, approval: auto }
  - { match: { type: "fill" }, approval: auto }
  - { match: { type: "read" }, approval: auto }
  - { match: { type: "screenshot" }, approval: auto }
  - match: { type: "click", target: "{url}/login" }
    conditions: { param_eq: { element.text: Go } }
    approval: auto
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
                Action("navigate", f"{site.url}/x/../login?token=secret&x&token=b+c%20d#top"),
                Action("fill", "form", {"selector": "#password", "value": "hunter2hunter2"}),
                Action("click", "form", {"selector": "button"}),
                Action("click", "form", {"selector": "#buy"}),
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
            # The daemon masks what can be a secret: text with blanks is none.
            {"token": ["[masked, 6 characters]", "b c d"], "x": [""]},
        )
        assert first.params["fragment"] == "top"
        # What is acted on is where the page is and what the element says, and not what the agent calls it.
        clicked = sidecar.audit.get_log(action_type="click")[1].action
        assert (clicked.target, clicked.params["label"]) == (f"{site.url}/login", "form")
        assert (clicked.params["element"]["tag"], clicked.params["element"]["text"]) == ("button", "Buy")
        # The query as it was written: its order, its spelling.
        assert ("GET", "/login?token=secret&x&token=b+c%20d") in site.seen()
        # The page was given the whole secret; nobody else was.
        assert "14" in results[4].data["text"]
        assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
        record = sidecar.audit.to_json()
        assert "hunter2" not in record
        assert "[masked, 14 characters]" in record
        assert "hunter2" not in str(results) + repr(plan[1].params.get("nothing"))
        # A failure that Playwright explains at length does not spill it either.
        async with sidecar.runtime(executor()) as runtime:
            await runtime.run_one(Action("navigate", f"{site.url}/login"))
            failed = await runtime.run_one(Action("fill", "form", {"selector": "#buy", "value": "hunter2hunter2"}))
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


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("FILE:///etc/hosts", "file:///etc/hosts"),
        ("file:/etc/hosts", "file:///etc/hosts"),
        ("file:etc/hosts", "file:///etc/hosts"),
        ("file://localhost/etc/hosts", "file:///etc/hosts"),
        ("file:////etc/./x/../%68osts?a#b", "file:///etc/hosts"),
        ("ABOUT:blank", "about:blank"),
        ("DATA:text/html,<p>x</p>", "data:text/html,<p>x</p>"),
    ],
)
def test_a_file_has_one_spelling(written: str, target: str) -> None:
    assert PlaywrightExecutor().prepare(Action("navigate", written)).target == target


@pytest.mark.parametrize(
    "written",
    [
        "file://other/etc/hosts",
        "file:///a%255cb",
        "fi\nle:///etc/hosts",
        " file:///etc/hosts",
        "file:\\etc",
        "javascript:1",
    ],
)
def test_what_a_browser_reads_in_its_own_way_is_refused(written: str) -> None:
    with pytest.raises(InvalidActionError):
        PlaywrightExecutor().prepare(Action("navigate", written))


def test_a_screenshot_says_where_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    action = PlaywrightExecutor().prepare(Action("screenshot", "", {"path": f"{tmp_path}/x/../link/shot.png"}))
    assert action.params["path"] == "/etc/shot.png"


async def test_a_redirect_is_followed_hop_by_hop_with_its_cookies(site: Site) -> None:
    site.pages["/start"] = (302, {"Location": "/middle?a=1", "Set-Cookie": "seen=1; Path=/"}, "")
    site.pages["/middle"] = (301, {"Location": f"{site.url}/login"}, "")
    with Sidecar(POLICY.replace("{url}", site.url)) as sidecar:
        async with sidecar.runtime(executor()) as runtime:
            result = await runtime.run_one(Action("navigate", f"{site.url}/start"))
        assert result.data == {"url": f"{site.url}/login", "status": 200, "title": "Log in"}
        rows = [(row.action.target, row.action.params.get("from")) for row in sidecar.audit.rows()]
        assert sorted(rows, key=str) == sorted(
            [
                (f"{site.url}/start", None),
                (f"{site.url}/middle", f"{site.url}/start"),
                (f"{site.url}/login", f"{site.url}/middle"),
            ],
            key=str,
        )
    last = next(request for request in site.requests if request.path == "/login")
    assert last.headers["cookie"] == "seen=1"


async def test_a_redirect_that_may_not_be_followed_fails_wherever_it_stands(site: Site) -> None:
    site.pages["/start"] = (302, {"Location": "/middle"}, "")
    site.pages["/middle"] = (302, {"Location": "https://elsewhere.example/"}, "")
    with Sidecar(POLICY.replace("{url}", site.url)) as sidecar:
        async with sidecar.runtime(executor()) as runtime:
            result = await runtime.run_one(Action("navigate", f"{site.url}/start"))
        assert result.status is ResultStatus.FAILED
        assert str(result.error).startswith("led on to https://elsewhere.example/: Blocked by policy rule <default>")
        assert sidecar.audit.get_log()[-1].outcome == "DENY"


async def test_what_goes_wrong_quotes_neither_the_page_nor_what_was_typed(site: Site) -> None:
    cover = '<div style="position: fixed; inset: 0">TOP SECRET</div>'
    site.pages["/login"] = (200, {}, f"<!doctype html><input id=password><button>Go</button>{cover}")
    gone_too = POLICY + '  - { match: { type: "navigate", target: "http://127.0.0.1:1/*" }, approval: auto }\n'
    with Sidecar(gone_too.replace("{url}", site.url)) as sidecar:
        async with sidecar.runtime(executor(timeout=8.0)) as runtime:
            await runtime.run_one(Action("navigate", f"{site.url}/login"))
            await runtime.run_one(Action("fill", "form", {"selector": "#password", "value": "hunter2hunter2"}))
            failed = await runtime.run_one(Action("click", "form", {"selector": "button"}))
            # A port on which nobody listens.
            gone = await runtime.run_one(Action("navigate", "http://127.0.0.1:1/login?page=swordfish#swordfish"))
        assert [failed.status, gone.status] == [ResultStatus.FAILED, ResultStatus.FAILED]
        assert "net::" in str(gone.error)
        said = [row.result_error for row in sidecar.audit.rows()]
        assert "swordfish" not in str(said)
        said = sidecar.audit.to_json()
    assert "SECRET" not in said
    assert "hunter2" not in said
