from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from aegis import Action, ActionDenied, AegisError, InvalidActionError, ReportError, ResultStatus, Runtime
from aegis.adapters.httpx_adapter import (
    AegisTransport,
    AsyncAegisTransport,
    AsyncGovernedClient,
    GovernedClient,
    HttpxExecutor,
    normalised_url,
)
from aegis.testing import Sidecar

from .conftest import record
from .site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site({"/users": (200, {"set-cookie": "session=secret"}, [{"id": 1}]), "/users/1": (200, {}, {"id": 1})})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def other() -> Iterator[Site]:
    made = Site({"/there": (200, {}, "other")}).start()
    yield made
    made.stop()


@pytest.fixture
def sidecar(site: Site, other: Site) -> Iterator[Sidecar]:
    policy = f"""
version: "1"
defaults: {{ approval: block, risk_level: critical, }}
rules:
  - {{ name: no_admin, match: {{ type: "*", target: "{site.url}/admin*" }}, approval: block }}
  - {{ name: reads, match: {{ type: "get", target: "{site.url}/*" }}, approval: auto }}
  - {{ name: writes, match: {{ type: "post", target: "{site.url}/*" }}, approval: auto }}
  - {{ name: there, match: {{ type: "get", target: "{other.url}/there*" }}, approval: auto }}
"""
    with Sidecar(policy) as sidecar:
        yield sidecar


# --- One form for every URL ---


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("HTTPS://API.Example.com:443", "https://api.example.com/"),
        ("http://h/%61dmin", "http://h/admin"),
        ("http://h/x/../admin", "http://h/admin"),
        ("http://h/x/%2e%2E/admin", "http://h/admin"),
        ("http://h/./admin#f", "http://h/admin"),
        ("http://h/a%3fb?q=%7e%2f", "http://h/a%3Fb?q=~%2F"),
        ("http://[::1]:80/a", "http://[::1]/a"),
    ],
)
def test_a_url_has_one_form(given: str, normal: str) -> None:
    assert str(normalised_url(given)) == normal
    assert str(normalised_url(normal)) == normal


@pytest.mark.parametrize(
    "given", ["/users", "ftp://h/", "http://", "https://api.example.com@evil.example/", "http://u:p@h/"]
)
def test_what_is_no_plain_absolute_url_is_refused(given: str) -> None:
    with pytest.raises(InvalidActionError, match="target"):
        normalised_url(given)


# --- The executor ---


async def test_executor(sidecar: Sidecar, site: Site) -> None:
    executor = HttpxExecutor(base_url=site.url, default_headers={"authorization": "Bearer secret"})
    async with sidecar.runtime(executor) as runtime:
        plan = runtime.plan([Action("GET", "/users", {"query": {"page": 2}}), Action("Delete", "/users/1")])
        assert [(action.type, action.target) for action in plan.actions] == [
            ("get", f"{site.url}/users"),
            ("delete", f"{site.url}/users/1"),
        ]
        assert plan.actions[0].params == {"query": {"page": ["2"]}}
        listed, deleted = await runtime.execute(plan)
        posted = await runtime.run_one(Action("post", "/users", {"json": {"name": "Ada"}, "headers": {"x-a": "b"}}))
        missing = await runtime.run_one(Action("get", "/nothing"))
    assert listed.data["status_code"] == 200
    assert listed.data["body"] == [{"id": 1}]
    assert "set-cookie" not in listed.data["headers"]
    assert deleted.status is ResultStatus.BLOCKED
    assert posted.ok
    assert (missing.status, missing.error, missing.data["body"]) == (ResultStatus.FAILED, "HTTP 404", "nothing here")
    assert site.seen() == [("GET", "/users?page=2"), ("POST", "/users"), ("GET", "/nothing")]
    assert {request.headers["authorization"] for request in site.requests} == {"Bearer secret"}
    assert (json.loads(site.requests[1].body), site.requests[1].headers["x-a"]) == ({"name": "Ada"}, "b")
    assert "secret" not in sidecar.audit.to_json()


@pytest.mark.parametrize(
    "target",
    [
        "/admin",
        "/%61dmin",
        "/users/../admin",
        "/users/%2e%2e/admin",
        "{url}/admin",
        "HTTP://{host}/admin/x",
        "//{host}/admin",
    ],
)
@pytest.mark.parametrize("verb", ["get", "GET", "Get"])
async def test_no_spelling_dodges_a_rule(sidecar: Sidecar, site: Site, target: str, verb: str) -> None:
    site.pages["/admin"] = (200, {}, "the crown jewels")
    target = target.format(url=site.url, host=site.url.removeprefix("http://"))
    result = await sidecar.runtime(HttpxExecutor(base_url=site.url)).run_one(Action(verb, target))
    assert result.status is ResultStatus.BLOCKED
    assert result.decision is not None
    assert result.decision.matched_rule == "no_admin"
    assert site.requests == []


async def test_a_host_header_cannot_say_another_target(sidecar: Sidecar, site: Site) -> None:
    runtime = sidecar.runtime(HttpxExecutor(base_url=site.url))
    result = await runtime.run_one(Action("get", "/users", {"headers": {"Host": "internal"}}))
    assert result.status is ResultStatus.FAILED
    assert "rules look at the URL" in str(result.error)
    assert site.requests == []


async def test_each_hop_of_a_redirect_is_proposed(sidecar: Sidecar, site: Site, other: Site) -> None:
    site.pages |= {
        "/moved": (302, {"location": f"{other.url}/there"}, ""),
        "/sneaky": (302, {"location": "/admin"}, ""),
        "/away": (307, {"location": f"{other.url}/elsewhere"}, ""),
        "/admin": (200, {}, "the crown jewels"),
    }
    executor = HttpxExecutor(base_url=site.url, default_headers={"x-api-key": "secret"})
    async with sidecar.runtime(executor) as runtime:
        moved = await runtime.run_one(Action("get", "/moved", {"headers": {"x-mine": "secret", "cookie": "a=secret"}}))
        sneaky = await runtime.run_one(Action("get", "/sneaky"))
        away = await runtime.run_one(Action("post", "/away", {"json": {"a": 1}}))
    assert moved.data["body"] == "other"
    assert other.seen() == [("GET", "/there")]
    assert not {"x-api-key", "x-mine", "cookie", "authorization"} & set(other.requests[0].headers)
    assert sneaky.status is ResultStatus.FAILED
    assert "Blocked by policy rule no_admin" in str(sneaky.error)
    assert away.status is ResultStatus.FAILED
    assert site.seen() == [("GET", "/moved"), ("GET", "/sneaky"), ("POST", "/away")]
    assert [(kind, target, status) for kind, target, status in record(sidecar) if status == "blocked"] == [
        ("get", f"{site.url}/admin", "blocked"),
        ("post", f"{other.url}/elsewhere", "blocked"),
    ]


async def test_default_headers_stay_at_home(sidecar: Sidecar, site: Site, other: Site) -> None:
    executor = HttpxExecutor(base_url=site.url, default_headers={"x-api-key": "secret"})
    async with sidecar.runtime(executor) as runtime:
        assert (await runtime.run_one(Action("get", f"{other.url}/there"))).ok
    assert "x-api-key" not in other.requests[0].headers
    with pytest.raises(ValueError, match="base_url"):
        HttpxExecutor(default_headers={"x-api-key": "secret"})


async def test_timeouts_are_kept(sidecar: Sidecar, site: Site) -> None:
    go_on = threading.Event()

    def slow() -> Any:
        go_on.wait(30)
        return 200, {}, "late"

    site.pages["/slow"] = slow
    try:
        async with sidecar.runtime(HttpxExecutor(base_url=site.url, timeout=0.2)) as runtime:
            late = await runtime.run_one(Action("get", "/slow"))
            assert isinstance(late.exception, httpx.TimeoutException)
        async with sidecar.runtime(HttpxExecutor(base_url=site.url)) as runtime:
            late = await runtime.run_one(Action("get", "/slow", {"timeout": 0.2}))
            assert isinstance(late.exception, httpx.TimeoutException)
    finally:
        go_on.set()


# --- Clients ---


class Both:
    """A client of either kind, used the same way."""

    def __init__(self, flavour: str, sidecar: Sidecar, **options: Any) -> None:
        runtime = sidecar.runtime()
        self.client: Any = (GovernedClient if flavour == "sync" else AsyncGovernedClient)(runtime, **options)

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        if isinstance(self.client, httpx.Client):
            response: httpx.Response = await asyncio.to_thread(self.client.request, method, url, **options)
            return response
        return await self.client.request(method, url, **options)


FLAVOURS = pytest.mark.parametrize("flavour", ["sync", "async"])


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response, whose connection is free once it is closed."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"body"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"body"

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Answering(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that answers every request."""

    def __init__(self) -> None:
        self.body = Body()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.body)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.body)


@FLAVOURS
@pytest.mark.parametrize("fails", ["report", "hook"])
async def test_a_response_that_nobody_gets_is_closed(sidecar: Sidecar, site: Site, flavour: str, fails: str) -> None:
    def fail(result: Any) -> None:
        raise LookupError("the hook failed")

    client = sidecar.client()
    runtime = Runtime(client=client, on_execute=fail if fails == "hook" else None)
    if fails == "report":
        client._transport.unary_async = _without_reports(client._transport.unary_async)  # type: ignore[method-assign]
    below = Answering()
    kind = GovernedClient if flavour == "sync" else AsyncGovernedClient
    governing: Any = kind(runtime, transport=below)
    url = f"{site.url}/users"
    sent = asyncio.to_thread(governing.get, url) if flavour == "sync" else governing.get(url)
    with pytest.raises(LookupError if fails == "hook" else ReportError):
        await sent
    assert below.body.closed


def _without_reports(unary: Any) -> Any:
    async def failing(call: Any) -> Any:
        if call.method == "ReportResult":
            raise AegisError("the report failed", code="INTERNAL")
        return await unary(call)

    return failing


@FLAVOURS
async def test_a_governed_client(sidecar: Sidecar, site: Site, flavour: str) -> None:
    both = Both(flavour, sidecar, base_url=site.url, headers={"x-api-key": "secret"})
    assert (await both.request("GET", "/users")).json() == [{"id": 1}]
    assert (await both.request("POST", "/users", json={"name": "Ada"})).status_code == 200
    for method, url in (
        ("DELETE", "/users/1"),
        ("get", "/x/%2e%2e/%61dmin"),
        ("GET", "HTTP://" + site.url[7:] + "/admin"),
    ):
        with pytest.raises(ActionDenied):
            await both.request(method, url)
    assert site.seen() == [("GET", "/users"), ("POST", "/users")]
    assert site.requests[0].headers["x-api-key"] == "secret"
    assert record(sidecar) == [
        ("get", f"{site.url}/users", "success"),
        ("post", f"{site.url}/users", "success"),
        ("delete", f"{site.url}/users/1", "blocked"),
        ("get", f"{site.url}/admin", "blocked"),
        ("get", f"{site.url}/admin", "blocked"),
    ]
    rows = sidecar.audit.get_log()
    assert rows[1].action.params == {"body": {"name": "Ada"}}
    assert rows[0].result_data == {"status_code": 200}
    assert "secret" not in sidecar.audit.to_json()


@FLAVOURS
async def test_a_governed_client_follows_what_may_be_followed(
    sidecar: Sidecar, site: Site, other: Site, flavour: str
) -> None:
    site.pages |= {
        "/moved": (302, {"location": f"{other.url}/there"}, ""),
        "/sneaky": (302, {"location": "/admin"}, ""),
        "/round": (302, {"location": "/round"}, ""),
    }
    both = Both(
        flavour, sidecar, base_url=site.url, headers={"x-api-key": "secret"}, auth=("u", "p"), follow_redirects=True,
        max_redirects=3,
    )  # fmt: skip
    moved = await both.request("GET", "/moved", headers={"x-mine": "secret"})
    assert (moved.text, [response.status_code for response in moved.history]) == ("other", [302])
    # And at once, by an absolute URL.
    assert (await both.request("GET", f"{other.url}/there")).text == "other"
    for request in other.requests:
        assert not {"x-api-key", "x-mine", "authorization"} & set(request.headers)
    assert {"x-api-key", "x-mine", "authorization"} <= set(site.requests[0].headers)
    with pytest.raises(ActionDenied):
        await both.request("GET", "/sneaky")
    with pytest.raises(httpx.TooManyRedirects):
        await both.request("GET", "/round")
    assert ("GET", "/admin") not in site.seen()


async def test_plain_clients_with_a_governed_transport(sidecar: Sidecar, site: Site) -> None:
    runtime = sidecar.runtime()
    with httpx.Client(transport=AegisTransport(runtime)) as client:
        assert (await asyncio.to_thread(client.get, f"{site.url}/users/1")).json() == {"id": 1}
        with pytest.raises(ActionDenied):
            client.delete(f"{site.url}/users/1")
    async with httpx.AsyncClient(transport=AsyncAegisTransport(runtime)) as client:
        assert (await client.get(f"{site.url}/users/1")).json() == {"id": 1}
    site.stop()
    async with httpx.AsyncClient(transport=AsyncAegisTransport(runtime)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{site.url}/users/1")
    assert [status for _, _, status in record(sidecar)] == ["success", "blocked", "success", "failed"]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"extensions": {"target": b"/delete/everything"}}, "extensions.target"),
        ({"content": iter([b"x"]), "headers": {"Transfer-Encoding": "gzip, chunked"}}, "headers.transfer-encoding"),
        (
            {"content": iter([b"x"]), "headers": {"Content-Length": "1", "Transfer-Encoding": "chunked"}},
            "headers.content-length",
        ),
        ({"content": b"x", "headers": {"Content-Length": "+1"}}, "headers.content-length"),
        ({"headers": [("Content-Type", "text/plain"), ("content-type", "application/json")]}, "headers.content-type"),
        ({"headers": {"TE": "gzip"}}, "headers.te"),
        ({"headers": {"Content_Length": "0"}}, "headers.content_length"),
        ({"extensions": {"sni_hostname": "internal.example"}}, "extensions.sni_hostname"),
    ],
)
def test_what_no_rule_would_see_is_refused(sidecar: Sidecar, site: Site, options: dict[str, Any], path: str) -> None:
    before = len(record(sidecar))
    with GovernedClient(sidecar.runtime()) as client, pytest.raises(InvalidActionError) as refused:
        client.post(f"{site.url}/safe", **options)
    assert refused.value.path == path
    assert site.requests == []
    assert len(record(sidecar)) == before


def test_a_streamed_body_and_one_that_is_packed_are_their_size(sidecar: Sidecar, site: Site) -> None:
    packed = gzip.compress(b'{"count": 500}')
    with GovernedClient(sidecar.runtime()) as client:
        client.post(f"{site.url}/safe", content=iter([b'{"count"', b": 1}"]))
        client.post(f"{site.url}/safe", content=packed, headers={"Content-Encoding": "gzip"})
    rows = sidecar.audit.get_log(action_type="post")[-2:]
    assert [row.action.params for row in rows] == [{"body_stream": True}, {"body_bytes": len(packed)}]


@pytest.mark.parametrize(
    ("target", "query", "path"),
    [
        ("http://xn--a.example/", None, "target"),
        ("http://①②⑦.0.0.1/", None, "target"),
        ("http://example.com/" + "a" * 70_000, None, "target"),
        ("/a", 7, "params.query"),
    ],
)
async def test_a_target_that_is_no_url_is_an_invalid_action(
    sidecar: Sidecar, site: Site, target: str, query: Any, path: str
) -> None:
    async with sidecar.runtime(HttpxExecutor(base_url=site.url)) as runtime:
        with pytest.raises(InvalidActionError) as refused:
            await runtime.run_one(Action("get", target, {} if query is None else {"query": query}))
    assert refused.value.path == path
    assert site.requests == []


async def test_the_executor_refuses_headers_that_name_another_path(sidecar: Sidecar, site: Site) -> None:
    async with sidecar.runtime(HttpxExecutor(base_url=site.url)) as runtime:
        with pytest.raises(InvalidActionError) as refused:
            await runtime.run_one(Action("get", "/safe", {"headers": {"X-Original-URL": "/admin"}}))
    assert refused.value.path == "params.headers.x-original-url"
    assert site.requests == []
