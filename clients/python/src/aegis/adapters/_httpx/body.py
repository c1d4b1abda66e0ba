"""The body of a request as parameters: its value, its text, or its size."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import httpx

from aegis.core.errors import InvalidActionError

LONGEST_BODY = 16 * 1024
"""Bytes; of a larger body, only the size is proposed and recorded."""
DEEPEST_BODY = 30
"""How deep a JSON body may be nested that is proposed as its value: as an action may be by default."""
LARGEST_NUMBER = 2**53 - 1
"""The largest number of a JSON body that every SDK holds exactly."""
_MARK = "\ufeff"
_SHOWN_CHARSET = re.compile(r'"?(?:utf-?8|us-ascii|ascii)"?', re.IGNORECASE)


def body_of(headers: httpx.Headers, content: bytes | None) -> dict[str, Any]:
    """A body as parameters. JSON is tried whatever the content type says: servers do not all look at it.

    Raises:
        InvalidActionError: Servers would read it in different ways: it says a name twice, or begins with a mark.
    """
    if content is None:
        size = headers.get("content-length")
        return {"body_stream": True} if size is None else {"body_bytes": int(size)}
    if not content:
        return {}
    sized = {"body_bytes": len(content)}
    # A server that heeds these reads another text than the bytes show.
    is_encoded = headers.get("content-encoding", "").strip().lower() not in {"", "identity"}
    if len(content) > LONGEST_BODY or is_encoded or not _is_shown_charset(headers.get("content-type", "")):
        return sized
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return sized
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    says_json = kind == "application/json" or kind.endswith("+json")
    is_text = says_json or kind.startswith("text/") or kind == "application/x-www-form-urlencoded"
    if says_json or text.lstrip(f"{_MARK} \t\r\n").startswith(("{", "[")):
        read = _read_json(text)
        if read is not None:
            return {"body": read[0]}
        is_text = is_text or _is_json(text)
    return {"body": text} if is_text else sized


def _is_shown_charset(kind: str) -> bool:
    """Whether every `charset` of a type is the one encoding of characters in which a body can be shown."""
    for rest in re.split("charset", kind, flags=re.IGNORECASE)[1:]:
        named = re.match(r"\s*=\s*([^;,]*)", rest)
        if named is None or not _SHOWN_CHARSET.fullmatch(named[1].strip()):
            return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return False
    return True


def _read_json(text: str) -> tuple[Any] | None:
    """The value of a JSON text; None where it does not say all that the text does, in every SDK."""
    if text.startswith(_MARK) and _is_json(text.removeprefix(_MARK)):
        raise InvalidActionError("body", "is JSON after a byte order mark, which some servers refuse: leave it out")
    if not _is_json(text):
        return None
    json.loads(text, parse_int=float, object_pairs_hook=_members)
    try:
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_constant)
        _check(value, 0)
    except (ValueError, RecursionError):
        return None
    return (value,)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidActionError("body", f"says the name `{name}` twice, which servers read in different ways")
        members[name] = value
    return members


def _number(written: str) -> float:
    value = float(written)
    if not abs(value) <= LARGEST_NUMBER or math.isnan(value):
        raise ValueError("not exact")
    return int(written) if re.fullmatch(r"-?[0-9]+", written) else value


def _constant(written: str) -> Any:
    raise ValueError(written)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (dict, list)):
        if depth >= DEEPEST_BODY:
            raise ValueError("too deep")
        for name in value if isinstance(value, dict) else ():
            name.encode()
            if name == "__proto__":
                raise ValueError("a name that not every SDK can hold")
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)
