"""Sends the requests of the table that all SDKs share, tests/sdk/http.yaml, as tests/sdk/README.md reads it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from aegis.adapters.httpx_adapter import GovernedClient
from aegis.testing import Sidecar

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[4] / "tests/sdk/http.yaml").read_text())["cases"]
KEYS = {"says", "method", "url", "headers", "allow_encoded_slashes", "body", "body_base64", "body_size", "refused"}
KEYS |= {"type", "target", "params"}


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    with Sidecar('version: "1"\ndefaults: { risk_level: low, approval: auto }\nrules: []\n') as sidecar:
        yield sidecar


def test_the_table_is_whole() -> None:
    assert len(CASES) > 25
    assert [case for case in CASES if set(case) - KEYS] == []


def content(case: dict[str, Any]) -> bytes | None:
    if "body_size" in case:
        return b"x" * int(case["body_size"])
    if "body_base64" in case:
        return base64.b64decode(case["body_base64"])
    body: str | None = case.get("body")
    return None if body is None else body.encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["says"])
def test_a_request_is_proposed_as_the_table_says(sidecar: Sidecar, case: dict[str, Any]) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    before = len(sidecar.audit.get_log())
    options = {"allow_encoded_slashes": True} if case.get("allow_encoded_slashes") else {}
    client = GovernedClient(sidecar.runtime(), transport=httpx.MockTransport(answer), **options)
    arguments = {"headers": case.get("headers"), "content": content(case)}
    if case.get("refused"):
        with pytest.raises((ValueError, httpx.InvalidURL, httpx.UnsupportedProtocol)):
            client.request(case.get("method", "GET"), case["url"], **arguments)
        assert sent == []
        assert len(sidecar.audit.get_log()) == before
        return
    client.request(case.get("method", "GET"), case["url"], **arguments)
    rows = sidecar.audit.get_log()[before:]
    verb = case.get("type", "get")
    assert [(row.action.type, row.action.target, row.action.params) for row in rows] == [
        (verb, case["target"], case.get("params", {}))
    ]
    (request,) = sent
    assert str(request.url).partition("?")[0] == case["target"]
    assert (request.method, request.content) == (verb.upper(), content(case) or b"")
