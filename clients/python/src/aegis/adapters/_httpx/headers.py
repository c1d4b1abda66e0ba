"""Headers that change which resource is asked for, or where a request ends: refused, or proposed.

Headers are not proposed: they hold credentials. So none of them may say something else than what is proposed. Names are
compared without case, and with `_` as `-`, as some servers read them.
"""

from __future__ import annotations

import re

import httpx

from aegis.adapters._httpx.url import normalised_url
from aegis.core.errors import InvalidActionError

OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
"""Ask the server for another method. Proposed as `method_override`."""
_REWRITES = {
    "destination",
    "forwarded",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-ms-original-url",
    "x-original-host",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-script-name",
    "x-waws-unencoded-url",
}
_FRAMING = {"http2-settings", "proxy-connection", "trailer", "upgrade"}
_ONCE = {
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "host",
    "te",
    "transfer-encoding",
}


def check_headers(headers: httpx.Headers, *, content: bytes | None) -> None:
    """Refuses what no rule would see.

    Args:
        headers: Those of the request.
        content: The body; None where it is a stream.

    Raises:
        InvalidActionError: Its path names the header.
    """
    seen: set[str] = set()
    for written, _ in headers.multi_items():
        name = written.lower().replace("_", "-")
        if name in _REWRITES:
            raise _refused(
                written, "names another resource to some servers, which no rule would see: put it into the URL"
            )
        if name in _FRAMING:
            raise _refused(written, "changes how the connection is read: leave it to the client")
        if name in _ONCE:
            if "_" in written:
                raise _refused(written, f"is `{name}` to some servers: write it so")
            if name in seen:
                raise _refused(written, "is there twice, which servers read in different ways")
            seen.add(name)
    _check_framing(headers, content)


def _check_framing(headers: httpx.Headers, content: bytes | None) -> None:
    encoding = headers.get("transfer-encoding")
    if encoding is not None and (content is not None or encoding.strip().lower() != "chunked"):
        raise _refused("transfer-encoding", "says where the body ends in another way than its length: leave it out")
    length = headers.get("content-length")
    if length is not None and encoding is not None:
        raise _refused("content-length", "and transfer-encoding are both there")
    if length is not None and not re.fullmatch(r"[0-9]{1,15}", length):
        raise _refused("content-length", f"`{length}` is no length")
    if length is not None and content is not None and int(length) != len(content):
        raise _refused("content-length", f"is {length}, and the body has {len(content)} bytes")
    for option in headers.get("connection", "").split(","):
        if option.strip().lower() not in {"", "keep-alive", "close"}:
            raise _refused("connection", f"`{option.strip()}` makes servers drop headers, or change the protocol")
    if headers.get("te", "trailers").strip().lower() not in {"", "trailers"}:
        raise _refused("te", "asks for an encoding of the transfer: leave it out")


def check_host(url: httpx.URL, headers: httpx.Headers) -> None:
    """Puts the URL's host into the Host header, and refuses another one."""
    host, named = headers.get("host"), url.netloc.decode("ascii")
    if host is None:
        return
    try:
        same = normalised_url(f"{url.scheme}://{host}/").netloc == url.netloc
    except InvalidActionError:
        same = False
    if not same:
        raise _refused("host", f"is `{host}`, and the URL says `{named}`: rules look at the URL")
    headers["host"] = named


def method_override(headers: httpx.Headers) -> str | None:
    """The method that headers ask for in place of that of the request."""
    found = (value for name, value in headers.multi_items() if name.lower().replace("_", "-") in OVERRIDES)
    asked = {value.strip().lower() for value in found} - {""}
    if len(asked) > 1:
        verbs = " and ".join(sorted(asked))
        raise InvalidActionError("headers", f"ask for the verbs {verbs} in place of that of the request")
    return asked.pop() if asked else None


def _refused(name: str, why: str) -> InvalidActionError:
    return InvalidActionError(f"headers.{name.lower()}", why)
