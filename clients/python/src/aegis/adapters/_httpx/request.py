"""A request as an action, and an answer as its result."""

from __future__ import annotations

import re
from typing import Any

import httpx

from aegis.adapters._httpx.body import body_of
from aegis.adapters._httpx.url import normalised_url, query_of, target_of
from aegis.core.action import Action
from aegis.core.errors import AegisError, InvalidActionError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.errors import ActionDenied

_OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")


def proposal(request: httpx.Request, description: str = "") -> Action:
    """A request, whose URL is normalised, as an action."""
    _check_host(request)
    verb = request.method.lower()
    if not re.fullmatch(r"[a-z-]+", verb):
        raise InvalidActionError("type", f"`{request.method}` is no verb")
    params: dict[str, Any] = {}
    query = query_of(request.url)
    if query:
        params["query"] = query
    asked = {request.headers.get(name, "").strip().lower() for name in _OVERRIDES} - {""}
    if len(asked) > 1:
        raise InvalidActionError(
            "headers", f"ask for the verbs {' and '.join(sorted(asked))} in place of that of the request"
        )
    if asked:
        params["method_override"] = asked.pop()
    return Action(verb, target_of(request.url), params | body_of(request), description)


def _check_host(request: httpx.Request) -> None:
    host, named = request.headers.get("host"), request.url.netloc.decode("ascii")
    if host is None:
        return
    try:
        same = normalised_url(f"{request.url.scheme}://{host}/").netloc == request.url.netloc
    except InvalidActionError:
        same = False
    if not same:
        raise InvalidActionError("headers.host", f"is `{host}`, and the URL says `{named}`: rules look at the URL")
    request.headers["host"] = named


def outcome(action: Action, response: httpx.Response) -> Result:
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
