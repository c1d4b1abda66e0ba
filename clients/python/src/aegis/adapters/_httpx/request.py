"""A request as an action: the copy that is sent, what is proposed for it, and its answer as a result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from aegis.adapters._httpx.body import body_of
from aegis.adapters._httpx.headers import check_headers, check_host, method_override
from aegis.adapters._httpx.url import normalised_url, query_of, target_of
from aegis.core.action import Action
from aegis.core.errors import AegisError, InvalidActionError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.errors import ActionDenied


@dataclass(frozen=True)
class Prepared:
    """A request that nobody else holds, and the action that it is."""

    request: httpx.Request
    action: Action


def prepared(request: httpx.Request, description: str = "", *, allow_encoded_slashes: bool = False) -> Prepared:
    """Copies a request, in the one spelling that rules see, and describes the copy. The copy is what is sent.

    Raises:
        InvalidActionError: Servers and libraries would read it in different ways.
    """
    content = _content(request)
    extensions = dict(request.extensions)
    if "target" in extensions:
        raise InvalidActionError("extensions.target", "is another target than the URL: put it into the URL")
    if extensions.get("sni_hostname") not in {None, request.url.host, request.url.host.encode()}:
        raise InvalidActionError("extensions.sni_hostname", "names another host than the URL: rules look at the URL")
    headers = httpx.Headers(request.headers)
    check_headers(headers, content=content)
    verb = request.method.lower()
    if not re.fullmatch(r"[a-z-]+", verb) or verb in {"connect", "trace", "track"}:
        raise InvalidActionError("type", f"`{request.method}` is no method that can be proposed")
    url = normalised_url(request.url, allow_encoded_slashes=allow_encoded_slashes)
    check_host(url, headers)
    body: dict[str, Any] = {"stream": request.stream} if content is None else {"content": content or None}
    copied = httpx.Request(request.method, url, headers=headers, extensions=extensions, **body)
    return Prepared(copied, _action(copied, verb, content, description))


def _content(request: httpx.Request) -> bytes | None:
    try:
        return bytes(request.content)
    except httpx.RequestNotRead:
        return None


def _action(request: httpx.Request, verb: str, content: bytes | None, description: str) -> Action:
    params: dict[str, Any] = {}
    query = query_of(request.url)
    if query:
        params["query"] = query
    override = method_override(request.headers)
    if override is not None:
        params["method_override"] = override
    return Action(verb, target_of(request.url), params | body_of(request.headers, content), description)


def outcome(action: Action, response: httpx.Response) -> Result:
    """An answer as the result of an action: from 400 on it has failed."""
    failed = response.status_code >= 400
    return Result(
        action,
        ResultStatus.FAILED if failed else ResultStatus.SUCCESS,
        data={"status_code": response.status_code},
        error=f"HTTP {response.status_code}" if failed else None,
    )


def answered(result: Result, responses: list[httpx.Response]) -> httpx.Response:
    """The response, or why there is none."""
    if result.exception is not None:
        raise result.exception
    if responses:
        return responses[-1]
    if result.decision is not None:
        raise ActionDenied(result.decision, result)
    raise AegisError(result.error or "no response")
