"""One spelling for what is one resource. What servers and libraries read in different ways is refused."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote_plus, unquote_to_bytes

import httpx

from aegis.core.errors import InvalidActionError

_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# "127.1" and "0x7f000001" are addresses to some resolvers and names to others.
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")


def normalised_url(url: httpx.URL | str, *, allow_encoded_slashes: bool = False) -> httpx.URL:
    """The one form of a URL that rules see and that is sent.

    Args:
        url: The URL.
        allow_encoded_slashes: Whether `%2F` and `%5C` may stand in its path. Some servers read them as slashes and
            others do not, so that a rule on the path holds for one of them only.

    Raises:
        InvalidActionError: It is not an absolute http(s) URL, it carries a user or password, or servers and libraries
            read it in different ways.
    """
    try:
        read = httpx.URL(as_written(url) if isinstance(url, str) else url)
        # Decoding a name in ASCII fails for some that httpx takes (`xn--a.example`).
        host = read.host
    except (httpx.InvalidURL, TypeError, UnicodeError) as error:
        raise InvalidActionError("target", f"is no URL: {error}") from None
    if read.scheme not in {"http", "https"} or not host:
        raise InvalidActionError(
            "target", f"`{_shown(read)}` is not an absolute http(s) URL: give the executor a base_url"
        )
    if read.userinfo:
        raise InvalidActionError("target", "a URL carries no user and no password: send a header")
    if not 0 <= (read.port or 0) <= 65535:
        raise InvalidActionError("target", f"{read.port} is no port")
    named = _normalised_host(read.raw_host.decode("ascii"))
    port = "" if read.port in {None, {"http": 80, "https": 443}[read.scheme]} else f":{read.port}"
    path, mark, query = read.raw_path.partition(b"?")
    resolved = _resolved(_escaped(path).decode("ascii"))
    _check_path(resolved, allow_encoded_slashes)
    return httpx.URL(f"{read.scheme}://{named}{port}{resolved}{(mark + _unescaped(query)).decode('ascii')}")


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))


def as_written(url: str) -> str:
    """An absolute URL without dot segments.

    httpx would resolve them itself, and `/a/b/..` to `/a`, which is another resource than `/a/`.
    """
    check_written(url)
    absolute = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(/[^?#]*)(.*)", url)
    if absolute is None:
        return url
    origin, path, rest = absolute.groups()
    return origin + _resolved(_escaped(path.encode()).decode("ascii")) + rest


def check_written(url: str) -> None:
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


def _check_path(path: str, allow_encoded_slashes: bool) -> None:
    """Refuses what servers read as another path."""
    if not allow_encoded_slashes and re.search("%2F|%5C", path):
        raise InvalidActionError(
            "target", "holds an escaped slash, which is one to some servers: allow it with `allow_encoded_slashes=True`"
        )
    for segment in re.split("/|%2F|%5C", path):
        if segment.partition(";")[0] in {".", ".."}:
            raise InvalidActionError("target", f"holds `{segment}`, which some servers read as a step up: leave it out")


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


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port


def target_of(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.partition(b'?')[0].decode('ascii')}"


def query_of(url: httpx.URL) -> dict[str, list[str]]:
    """Each name of a query with its values, in order. What is not well formed servers read in different ways."""
    found: dict[str, list[str]] = {}
    for part in url.query.decode("ascii").split("&"):
        if not part:
            continue
        if ";" in part:
            raise InvalidActionError(
                "target", "its query holds a semicolon, which separates parts to some servers: write %3B"
            )
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
