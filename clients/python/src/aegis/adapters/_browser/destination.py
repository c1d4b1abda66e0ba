"""One spelling for where a browser goes. What browsers read in their own way is refused."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode, urljoin

from aegis.adapters._httpx.url import normalised_url, query_of, target_of
from aegis.core.errors import InvalidActionError


def destination(url: str) -> tuple[str, dict[str, Any]]:
    """The target of a `navigate`, and the rest of its URL as params: `query` and `fragment`, where it has them.

    Raises:
        InvalidActionError: It is no URL that can be proposed.
    """
    if url != url.strip() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise InvalidActionError("params.url", "holds a space, a control character or a backslash: escape it")
    scheme = url.partition(":")[0].lower()
    if scheme == "file":
        return _file(url), {}
    if scheme == "about":
        return url.lower(), {}
    if scheme == "data":
        return "data:" + url.partition(":")[2], {}
    try:
        normal = normalised_url(url)
        params = {"query": query_of(normal), "fragment": url.partition("#")[2]}
    except InvalidActionError as error:
        raise InvalidActionError("params.url", str(error)) from None
    return target_of(normal), {name: value for name, value in params.items() if value}


def to_visit(target: str, params: Any) -> str:
    """The URL that was proposed."""
    query, fragment = params.get("query"), params.get("fragment")
    return target + (f"?{urlencode(query, doseq=True)}" if query else "") + (f"#{fragment}" if fragment else "")


def where(url: str) -> str:
    """Where a page is, as a target: without query and fragment, in which credentials may stand."""
    try:
        return destination(url)[0]
    except InvalidActionError:
        return re.split(r"[?#]", url, maxsplit=1)[0]


def _file(url: str) -> str:
    """A file in one spelling: browsers read `FILE:etc`, `file:/etc` and `file://localhost/etc` as `file:///etc`."""
    rest = re.split(r"[?#]", url.partition(":")[2], maxsplit=1)[0]
    host = ""
    if rest.startswith("//"):
        host, _, rest = rest[2:].partition("/")
    if host.lower() not in {"", "localhost"}:
        raise InvalidActionError("params.url", f"names a file of another machine, `{host}`")
    path = unquote_to_bytes(rest)
    if re.search(rb"[\x00-\x1f\x7f\\]", path) or b"%" in path:
        raise InvalidActionError("params.url", "holds an escape of an escape, a control character or a backslash")
    # As a browser resolves it: dots, and more slashes at its beginning.
    resolved = urljoin("http://file/", "/" + quote(path.lstrip(b"/"), safe="/~!$&'()*+,;=:@"))
    return "file://" + resolved.removeprefix("http://file")
