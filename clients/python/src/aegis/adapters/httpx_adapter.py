"""httpx: govern HTTP requests, as an executor of actions or under httpx's own clients. Needs the extra `httpx`.

What is proposed, and what is sent, is the same: the verb in lower case as the action's type (`get`, `delete`), and the final URL
as its target, absolute and normalised (case of scheme and host, default port, dot segments, needless percent-encoding), without
query and fragment. So neither case nor an absolute URL nor an escape nor a `?x` dodges a rule. What servers read in different
ways is refused: a user in the URL, an address like `127.1`, a `;` in the query, another `Host`. Every hop of a redirect is
proposed on its own.

The params, each where there is one, are `query` (each name with its list of values), `method_override` (the verb that a header
asks for, in lower case), and `body`: the value of a JSON body (what could not be sent exactly is text), or the text of a text or
a form, up to 16 KiB. Of any other body, `body_bytes` is its size, and `body_stream` is true where that is not known. Headers are
left out: they hold credentials.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus, unquote_to_bytes

import httpx

from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action
from aegis.core.result import Result, ResultStatus
from aegis.errors import ActionDenied, AegisError, InvalidActionError
from aegis.runtime.engine import Runtime

__all__ = [
    "AegisTransport",
    "AsyncAegisTransport",
    "AsyncGovernedClient",
    "GovernedClient",
    "HttpxExecutor",
    "normalised_url",
]

VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
"""The action types that the executor knows."""
LONGEST_BODY = 16 * 1024
"""Bytes; of a larger body, only the size is proposed and recorded."""
DEEPEST_BODY = 30
"""How deep a JSON body may be nested that is proposed as its value: as an action may be by default."""
LARGEST_NUMBER = 2**53 - 1
"""The largest number of a JSON body that every SDK holds exactly."""
# What may follow to another origin: nothing that the caller set for the first.
_NEUTRAL = {
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "user-agent",
}
_OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# "127.1" and "0x7f000001" are addresses to some resolvers and names to others.
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")


def normalised_url(url: httpx.URL | str) -> httpx.URL:
    """The one form of a URL that rules see and that is sent.

    Raises:
        InvalidActionError: It is not an absolute http(s) URL, it carries a user or password, or servers and libraries read it in
            different ways.
    """
    try:
        read = httpx.URL(_as_written(url) if isinstance(url, str) else url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidActionError("target", f"is no URL: {error}") from None
    if read.scheme not in {"http", "https"} or not read.host:
        raise InvalidActionError("target", f"`{_shown(read)}` is not an absolute http(s) URL: give the executor a base_url")
    if read.userinfo:
        raise InvalidActionError("target", "a URL carries no user and no password: send a header")
    if not 0 <= (read.port or 0) <= 65535:
        raise InvalidActionError("target", f"{read.port} is no port")
    host = _normalised_host(read.raw_host.decode("ascii"))
    port = "" if read.port in {None, {"http": 80, "https": 443}[read.scheme]} else f":{read.port}"
    path, mark, query = read.raw_path.partition(b"?")
    resolved = _resolved(_escaped(path).decode("ascii"))
    return httpx.URL(f"{read.scheme}://{host}{port}{resolved}{(mark + _unescaped(query)).decode('ascii')}")


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))


def _as_written(url: str) -> str:
    """An absolute URL without dot segments: httpx resolves `/a/..` to `/`, and `/a/b/..` to `/a`, which is another resource."""
    _check_written(url)
    absolute = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(/[^?#]*)(.*)", url)
    if absolute is None:
        return url
    origin, path, rest = absolute.groups()
    return origin + _resolved(_escaped(path.encode()).decode("ascii")) + rest


def _check_written(url: str) -> None:
    """Refuses what httpx would read in its own way, and other libraries in theirs."""
    authority = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)", url)
    if authority and "@" in authority.group(1):
        raise InvalidActionError("target", "a URL carries no user and no password: send a header")
    if "\\" in url or url != url.strip() or any(ord(character) < 32 or ord(character) == 127 for character in url):
        raise InvalidActionError("target", "holds a backslash, a control character or space around it: write %5C, or /")
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        raise InvalidActionError("target", "holds a % that is no escape: write %25")


def _normalised_host(written: str) -> str:
    """A host as rules see it, an address of IPv6 in brackets."""
    try:
        address = ipaddress.ip_address(written.strip("[]"))
    except ValueError:
        name = written.lower().removesuffix(".")
        if not _HOST.fullmatch(name) or _NUMERIC.fullmatch(name):
            raise InvalidActionError("target", f"`{written}` is not a host, or not written as one is") from None
        return name
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.scope_id is not None:
        raise InvalidActionError("target", f"`{written}` names a zone of this machine")
    return str(address.ipv4_mapped or f"[{address}]")


def _unescaped(raw: bytes) -> bytes:
    """Without the escapes that RFC 3986 calls needless; the others in upper case."""

    def replaced(match: re.Match[bytes]) -> bytes:
        byte = unquote_to_bytes(match.group())
        return byte if _UNRESERVED.fullmatch(byte) else match.group().upper()

    return re.sub(rb"%[0-9A-Fa-f]{2}", replaced, raw)


def _escaped(path: bytes) -> bytes:
    """A path with the escapes that it needs, and no others."""
    return re.sub(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]", lambda match: b"%%%02X" % match.group()[0], _unescaped(path))


def _resolved(path: str) -> str:
    """A path without dot segments (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port


def _proposal(request: httpx.Request, description: str = "") -> Action:
    """A request, whose URL is normalised, as an action."""
    _check_host(request)
    verb = request.method.lower()
    if not re.fullmatch(r"[a-z-]+", verb):
        raise InvalidActionError("type", f"`{request.method}` is no verb")
    params: dict[str, Any] = {}
    query = _query(request.url)
    if query:
        params["query"] = query
    asked = {request.headers.get(name, "").strip().lower() for name in _OVERRIDES} - {""}
    if len(asked) > 1:
        raise InvalidActionError("headers", f"ask for the verbs {' and '.join(sorted(asked))} in place of that of the request")
    if asked:
        params["method_override"] = asked.pop()
    return Action(verb, _target(request.url), params | _body(request), description)


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


def _target(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.partition(b'?')[0].decode('ascii')}"


def _query(url: httpx.URL) -> dict[str, list[str]]:
    """Each name of a query with its values, in order. What is not well formed servers read in different ways."""
    found: dict[str, list[str]] = {}
    for part in url.query.decode("ascii").split("&"):
        if not part:
            continue
        if ";" in part:
            raise InvalidActionError("target", "its query holds a semicolon, which separates parts to some servers: write %3B")
        if re.search(r"%(?![0-9A-Fa-f]{2})", part):
            raise InvalidActionError("target", "its query holds a % that is no escape: write %25")
        name, _, value = part.partition("=")
        try:
            name, value = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise InvalidActionError("target", "its query is not UTF-8") from None
        if name == "__proto__":
            raise InvalidActionError("target", "its query has the name __proto__, which not every SDK can propose")
        found.setdefault(name, []).append(value)
    return found


def _body(request: httpx.Request) -> dict[str, Any]:
    try:
        content = request.content
    except httpx.RequestNotRead:
        size = request.headers.get("content-length", "")
        return {"body_bytes": int(size)} if re.fullmatch(r"[0-9]{1,15}", size) else {"body_stream": True}
    if not content:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    is_text = kind.startswith("text/") or kind == "application/x-www-form-urlencoded"
    if len(content) > LONGEST_BODY or not (is_json or is_text):
        return {"body_bytes": len(content)}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"body_bytes": len(content)}
    if is_json:
        try:
            return {"body": _exact_json(text)}
        except (ValueError, RecursionError):
            pass
    return {"body": text}


def _exact_json(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError` where it does not say all that the text does, in every SDK."""

    def number(written: str) -> float:
        value = float(written)
        if not abs(value) <= LARGEST_NUMBER or math.isnan(value):
            raise ValueError("not exact")
        return int(written) if re.fullmatch(r"-?[0-9]+", written) else value

    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        # A name that is there twice servers read in different ways; the other not every SDK can hold.
        if len(members) < len(pairs) or "__proto__" in members:
            raise ValueError("names")
        return members

    def constant(written: str) -> Any:
        raise ValueError(written)

    value = json.loads(text, object_pairs_hook=named, parse_int=number, parse_float=number, parse_constant=constant)
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (dict, list)):
        if depth >= DEEPEST_BODY:
            raise ValueError("too deep")
        for name in value if isinstance(value, dict) else ():
            name.encode()
        for item in value.values() if isinstance(value, dict) else value:
            _check_json(item, depth + 1)


def _outcome(action: Action, response: httpx.Response) -> Result:
    failed = response.status_code >= 400
    return Result(
        action,
        ResultStatus.FAILED if failed else ResultStatus.SUCCESS,
        data={"status_code": response.status_code},
        error=f"HTTP {response.status_code}" if failed else None,
    )


def _answered(result: Result, responses: list[httpx.Response]) -> httpx.Response:
    """The response, or why there is none."""
    if result.exception is not None:
        raise result.exception
    if responses:
        return responses[-1]
    if result.decision is not None:
        raise ActionDenied(result.decision, result)
    raise AegisError(result.error or "no response")


class AegisTransport(httpx.BaseTransport):
    """Governs every request of an `httpx.Client`, each redirect included: `httpx.Client(transport=AegisTransport(runtime))`.

    A request that may not be sent raises `ActionDenied`. For redirects and default headers across origins, `GovernedClient`
    does more than a transport can.

    Args:
        runtime: Governs the requests. Its executor is not used.
        transport: Sends them. None: `httpx.HTTPTransport()`.
    """

    def __init__(self, runtime: Runtime, transport: httpx.BaseTransport | None = None) -> None:
        self._runtime = runtime
        self._transport = transport if transport is not None else httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Proposes the request, and sends it if it may be sent."""
        request.url = normalised_url(request.url)
        action = _proposal(request)
        responses: list[httpx.Response] = []

        def send(proposed: Action) -> Result:
            responses.append(self._transport.handle_request(request))
            return _outcome(proposed, responses[-1])

        return _answered(self._runtime.call_sync(action, send), responses)

    def close(self) -> None:
        """Closes the transport below."""
        self._transport.close()


class AsyncAegisTransport(httpx.AsyncBaseTransport):
    """`AegisTransport` for an `httpx.AsyncClient`."""

    def __init__(self, runtime: Runtime, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._runtime = runtime
        self._transport = transport if transport is not None else httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Proposes the request, and sends it if it may be sent."""
        request.url = normalised_url(request.url)
        action = _proposal(request)
        responses: list[httpx.Response] = []

        async def send(proposed: Action) -> Result:
            responses.append(await self._transport.handle_async_request(request))
            return _outcome(proposed, responses[-1])

        return _answered(await self._runtime.call(action, send), responses)

    async def aclose(self) -> None:
        """Closes the transport below."""
        await self._transport.aclose()


class _Origins:
    """Keeps what was set for one origin there."""

    def __init__(self, client: httpx.Client | httpx.AsyncClient) -> None:
        self._client = client
        self._own = set(client.headers) - _NEUTRAL

    def outgoing(self, request: httpx.Request, given: Any) -> bool:
        """Takes the client's own headers off a request to another origin. Whether it is one."""
        base = self._client.base_url
        if not base.host or _origin(base) == _origin(request.url):
            return False
        explicit = set(httpx.Headers(given))
        for name in self._own - explicit:
            request.headers.pop(name, None)
        return True


def _next_hop(response: httpx.Response) -> httpx.Request | None:
    """The request that a redirect asks for, without what was meant for the origin before."""
    following = response.next_request
    if following is not None and _origin(following.url) != _origin(response.request.url):
        for name in set(following.headers) - _NEUTRAL - {"host"}:
            following.headers.pop(name, None)
    return following


_DEFAULT: Any = httpx.USE_CLIENT_DEFAULT


class GovernedClient(httpx.Client):
    """An `httpx.Client` whose every request is governed, each hop of a redirect included.

    A request that may not be sent raises `ActionDenied`. Headers and auth of the client go to the origin of its `base_url`
    only, where it has one; on a redirect to another origin, everything that was set for the first is left behind.

    Args:
        runtime: Governs the requests. Its executor is not used.
        options: As of `httpx.Client`.
    """

    def __init__(self, runtime: Runtime, **options: Any) -> None:
        _refuse_unmounted(options)
        inner = options.pop("transport", None) or httpx.HTTPTransport(**_transport_options(options))
        mounts = {
            pattern: None if transport is None else AegisTransport(runtime, transport)
            for pattern, transport in (options.pop("mounts", None) or {}).items()
        }
        super().__init__(transport=AegisTransport(runtime, inner), mounts=mounts, **options)
        self._aegis_origins = _Origins(self)

    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        """As of `httpx.Client`, without the client's headers for another origin."""
        if isinstance(url, str):
            url = _as_written(url)
        request = super().build_request(method, url, **options)
        self._aegis_origins.outgoing(request, options.get("headers"))
        return request

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = _DEFAULT,
        follow_redirects: Any = _DEFAULT,
    ) -> httpx.Response:
        """As of `httpx.Client`; redirects are followed hop by hop."""
        follow = self.follow_redirects if follow_redirects is _DEFAULT else follow_redirects
        history: list[httpx.Response] = []
        while True:
            foreign = self._aegis_origins.outgoing(request, request.headers)
            used = None if auth is _DEFAULT and foreign else auth
            response = super().send(request, stream=stream, auth=used, follow_redirects=False)
            response.history = list(history)
            following = _next_hop(response)
            if not follow or following is None:
                return response
            if len(history) >= self.max_redirects:
                response.close()
                raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.", request=request)
            response.read()
            history.append(response)
            if _origin(following.url) != _origin(request.url):
                auth = None
            request = following


class AsyncGovernedClient(httpx.AsyncClient):
    """`GovernedClient`, async."""

    def __init__(self, runtime: Runtime, **options: Any) -> None:
        _refuse_unmounted(options)
        inner = options.pop("transport", None) or httpx.AsyncHTTPTransport(**_transport_options(options))
        mounts = {
            pattern: None if transport is None else AsyncAegisTransport(runtime, transport)
            for pattern, transport in (options.pop("mounts", None) or {}).items()
        }
        super().__init__(transport=AsyncAegisTransport(runtime, inner), mounts=mounts, **options)
        self._aegis_origins = _Origins(self)

    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        """As of `httpx.AsyncClient`, without the client's headers for another origin."""
        if isinstance(url, str):
            url = _as_written(url)
        request = super().build_request(method, url, **options)
        self._aegis_origins.outgoing(request, options.get("headers"))
        return request

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = _DEFAULT,
        follow_redirects: Any = _DEFAULT,
    ) -> httpx.Response:
        """As of `httpx.AsyncClient`; redirects are followed hop by hop."""
        follow = self.follow_redirects if follow_redirects is _DEFAULT else follow_redirects
        history: list[httpx.Response] = []
        while True:
            foreign = self._aegis_origins.outgoing(request, request.headers)
            used = None if auth is _DEFAULT and foreign else auth
            response = await super().send(request, stream=stream, auth=used, follow_redirects=False)
            response.history = list(history)
            following = _next_hop(response)
            if not follow or following is None:
                return response
            if len(history) >= self.max_redirects:
                await response.aclose()
                raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.", request=request)
            await response.aread()
            history.append(response)
            if _origin(following.url) != _origin(request.url):
                auth = None
            request = following


def _refuse_unmounted(options: Mapping[str, Any]) -> None:
    if options.get("app") is not None or options.get("proxies") is not None:
        raise TypeError("pass a `transport` instead: it is governed")


def _transport_options(options: dict[str, Any]) -> dict[str, Any]:
    """What `httpx.Client` would make its transport of."""
    names = ("verify", "cert", "trust_env", "http1", "http2", "limits", "proxy")
    return {name: options.pop(name) if name == "proxy" else options[name] for name in names if name in options}


class HttpxExecutor(BaseExecutor):
    """Runs actions as HTTP requests: the type is the verb, the target a URL, absolute or below `base_url`.

    Params: `json`, `data`, `headers`, `query`, `timeout`. The data of a result is `{status_code, headers, body}`; what is
    not 2xx has failed, and keeps its data. A redirect is followed where the runtime's policy allows the next hop.

    Args:
        base_url: What targets without a host are below.
        default_headers: Sent to the origin of `base_url`, and to no other.
        timeout: Seconds for a request without a `timeout` of its own.
        follow_redirects: Whether redirects are followed at all.
        max_redirects: How many at most.
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = normalised_url(base_url) if base_url else None
        if default_headers and self._base is None:
            raise ValueError("default_headers are for one origin: say which with base_url")
        self._headers = dict(default_headers or {})
        self._timeout = timeout
        self._hops = max_redirects if follow_redirects else 0
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._runtime: Runtime | None = None

    def attach(self, runtime: Runtime) -> None:
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
        _check_written(action.target)
        url = normalised_url(self._absolute(action.target))
        query = params.pop("query", None)
        if query:
            url = normalised_url(url.copy_merge_params(query))
        said = _query(url)
        return Action(verb, _target(url), params | ({"query": said} if said else {}), action.description)

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
        request = self._request(client, action)
        # Before it is sent: a Host of one's own would say another target than the rules saw.
        _proposal(request)
        response = await client.send(request)
        for _ in range(self._hops):
            following = _next_hop(response)
            if following is None or self._runtime is None:
                break
            following.url = normalised_url(following.url)
            result, response_or_none = await self._follow(client, self._runtime, following, action.description)
            if response_or_none is None:
                why = f"redirected to {_target(following.url)}: {result.error}"
                return Result(action, ResultStatus.FAILED, data=_data(response), error=why)
            response = response_or_none
        ok = response.is_success
        error = None if ok else f"HTTP {response.status_code}"
        return Result(action, ResultStatus.SUCCESS if ok else ResultStatus.FAILED, data=_data(response), error=error)

    def _request(self, client: httpx.AsyncClient, action: Action) -> httpx.Request:
        params = dict(action.params)
        url = httpx.URL(action.target)
        if params.get("query"):
            url = normalised_url(url.copy_with(params=params["query"]))
        headers = httpx.Headers(self._headers if self._base is not None and _origin(url) == _origin(self._base) else {})
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
        self, client: httpx.AsyncClient, runtime: Runtime, request: httpx.Request, description: str
    ) -> tuple[Result, httpx.Response | None]:
        responses: list[httpx.Response] = []

        async def send(proposed: Action) -> Result:
            responses.append(await client.send(request))
            return _outcome(proposed, responses[-1])

        result = await runtime.call(_proposal(request, description), send)
        return result, responses[-1] if responses else None


def _data(response: httpx.Response) -> dict[str, Any]:
    # What sets a cookie is a credential: not for the record.
    headers = {name: value for name, value in response.headers.items() if name not in {"set-cookie", "authorization"}}
    try:
        body: Any = response.json()
    except ValueError:
        body = response.text
    return {"status_code": response.status_code, "headers": headers, "body": body}
