"""Runs actions as HTTP requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from aegis.adapters._httpx.headers import check_headers
from aegis.adapters._httpx.origins import next_hop
from aegis.adapters._httpx.request import Prepared, outcome, prepared
from aegis.adapters._httpx.url import check_written, normalised_url, origin, query_of, target_of
from aegis.adapters.base import BaseExecutor, Governor
from aegis.core.action import Action
from aegis.core.errors import AegisError, InvalidActionError
from aegis.core.result import Result
from aegis.core.status import ResultStatus

VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
"""The action types that the executor knows."""


class HttpxExecutor(BaseExecutor):
    """Runs actions as HTTP requests: the type is the verb, the target a URL, absolute or below `base_url`.

    Params: `json`, `data`, `headers`, `query`, `timeout`. The data of a result is `{status_code, headers, body}`; what
    is not 2xx has failed, and keeps its data. A redirect is followed where the runtime's policy allows the next hop.

    Args:
        base_url: What targets without a host are below.
        default_headers: Sent to the origin of `base_url`, and to no other.
        timeout: Seconds for a request without a `timeout` of its own.
        follow_redirects: Whether redirects are followed at all.
        max_redirects: How many at most.
        allow_encoded_slashes: Whether `%2F` and `%5C` may stand in a path (`normalised_url`).
        transport: Sends the requests; None: httpx's own. For tests and proxies.
    """

    def __init__(
        self,
        base_url: str = "",
        default_headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        *,
        follow_redirects: bool = True,
        max_redirects: int = 10,
        allow_encoded_slashes: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = normalised_url(base_url) if base_url else None
        if default_headers and self._base is None:
            raise ValueError("default_headers are for one origin: say which with base_url")
        self._headers = dict(default_headers or {})
        self._timeout = timeout
        self._hops = max_redirects if follow_redirects else 0
        self._transport = transport
        self._allow_encoded_slashes = allow_encoded_slashes
        self._client: httpx.AsyncClient | None = None
        self._runtime: Governor | None = None

    def attach(self, runtime: Governor) -> None:
        """Takes the runtime that redirects are proposed to."""
        self._runtime = runtime

    def prepare(self, action: Action) -> Action:
        """The verb in lower case, the final URL without its query, and `query` with what the target said of it, too."""
        verb = action.type.lower()
        if verb not in VERBS:
            raise InvalidActionError("type", f"`{action.type}` is none of {', '.join(VERBS)}")
        params = dict(action.params)
        unknown = set(params) - {"json", "data", "headers", "query", "timeout"}
        if unknown:
            known = "json, data, headers, query, timeout"
            raise InvalidActionError(f"params.{min(unknown)}", f"no such param: there are {known}")
        check_written(action.target)
        query = params.pop("query", None)
        try:
            url = self._normalised(self._absolute(action.target))
            if query:
                url = self._normalised(url.copy_merge_params(query))
        except InvalidActionError:
            raise
        except (httpx.InvalidURL, AttributeError, TypeError, ValueError) as error:
            raise InvalidActionError("target" if not query else "params.query", f"makes no URL: {error}") from None
        _check_given(params.get("headers"))
        said = query_of(url)
        return Action(verb, target_of(url), params | ({"query": said} if said else {}), action.description)

    def _normalised(self, url: httpx.URL | str) -> httpx.URL:
        return normalised_url(url, allow_encoded_slashes=self._allow_encoded_slashes)

    def _absolute(self, target: str) -> httpx.URL | str:
        if self._base is None or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", target):
            return target
        if target.startswith(("//", "\\")):
            # Not below the base at all: another host.
            return httpx.URL(self._base.scheme + ":" + target.replace("\\", "/"))
        base = self._base.raw_path.decode("ascii").partition("?")[0]
        below = base.rstrip("/") + "/" + target.lstrip("/") if target else base
        path, _, query = below.partition("?")
        return httpx.URL(f"{self._base.scheme}://{self._base.netloc.decode()}{path}" + (f"?{query}" if query else ""))

    async def setup(self) -> None:
        """Opens the client."""
        self._client = httpx.AsyncClient(timeout=self._timeout, follow_redirects=False, transport=self._transport)

    async def teardown(self) -> None:
        """Closes it."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def execute(self, action: Action) -> Result:
        """Sends the request."""
        client = self._client
        if client is None:
            raise AegisError("the executor is not set up: run it by a Runtime")
        # It is described once more as the request that it has become: a Host of one's own would be another target.
        sent = prepared(self._request(client, action), allow_encoded_slashes=self._allow_encoded_slashes)
        response = await client.send(sent.request)
        for _ in range(self._hops):
            following = next_hop(response)
            if following is None or self._runtime is None:
                break
            hop = prepared(following, action.description, allow_encoded_slashes=self._allow_encoded_slashes)
            result, response_or_none = await self._follow(client, self._runtime, hop)
            if response_or_none is None:
                why = f"redirected to {hop.action.target}: {result.error}"
                return Result(action, ResultStatus.FAILED, data=_data(response), error=why)
            response = response_or_none
        ok = response.is_success
        error = None if ok else f"HTTP {response.status_code}"
        return Result(action, ResultStatus.SUCCESS if ok else ResultStatus.FAILED, data=_data(response), error=error)

    def _request(self, client: httpx.AsyncClient, action: Action) -> httpx.Request:
        params = dict(action.params)
        url = httpx.URL(action.target)
        if params.get("query"):
            url = self._normalised(url.copy_with(params=params["query"]))
        headers = httpx.Headers(self._headers if self._base is not None and origin(url) == origin(self._base) else {})
        headers.update(params.get("headers"))
        options: dict[str, Any] = {"headers": headers}
        if params.get("json") is not None:
            options["json"] = params["json"]
        data = params.get("data")
        if isinstance(data, Mapping):
            options["data"] = data
        elif data is not None:
            options["content"] = data
        if params.get("timeout") is not None:
            options["timeout"] = params["timeout"]
        return client.build_request(action.type.upper(), url, **options)

    async def _follow(
        self, client: httpx.AsyncClient, runtime: Governor, hop: Prepared
    ) -> tuple[Result, httpx.Response | None]:
        responses: list[httpx.Response] = []

        async def send(proposed: Action) -> Result:
            responses.append(await client.send(hop.request))
            return outcome(proposed, responses[-1])

        result = await runtime.call(hop.action, send)
        return result, responses[-1] if responses else None


def _check_given(headers: Any) -> None:
    """The headers that an action names. The rest is checked with the request."""
    try:
        check_headers(httpx.Headers(headers), content=None)
    except InvalidActionError as error:
        raise InvalidActionError(f"params.{error.path}", str(error).partition(": ")[2]) from None
    except (TypeError, ValueError) as error:
        raise InvalidActionError("params.headers", f"are no headers: {error}") from None


def _data(response: httpx.Response) -> dict[str, Any]:
    # What sets a cookie is a credential: not for the record.
    headers = {name: value for name, value in response.headers.items() if name not in {"set-cookie", "authorization"}}
    try:
        body: Any = response.json()
    except ValueError:
        body = response.text
    return {"status_code": response.status_code, "headers": headers, "body": body}
