"""The action digest: what ties a decision to the action that was sent.

It is SHA-256 of the decision's salt and of the RFC 8785 JSON of the action, the actor's id and the session. The daemon
computes the same, and so does every SDK: `tests/sdk/digests.yaml` holds them against each other.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import rfc8785
from google.protobuf import struct_pb2

from aegis._proto import governance_pb2

_SALT = re.compile(r"[0-9a-f]{32}\Z")


def is_salt(text: str) -> bool:
    """Whether a text is a salt as the daemon writes it: 16 bytes in lower-case hex."""
    return _SALT.match(text) is not None


def action_digest(request: governance_pb2.ProposeRequest, salt: str) -> str:
    """The digest, in hex, of what a request proposes. It is read from the request, so it is of what was sent."""
    action = request.action
    canonical = rfc8785.dumps(
        {
            "actor": {"id": request.actor.id},
            "description": action.description,
            "params": _map(action.params),
            "session_id": request.context.session_id,
            "target": action.target,
            "type": action.type,
        }
    )
    return hashlib.sha256(bytes.fromhex(salt) + canonical).hexdigest()


def _map(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: struct_pb2.Value) -> Any:
    """A value with its numbers as the doubles that they are: RFC 8785 writes no integer beyond 2^53 - 1."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _map(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind is None or kind == "null_value":
        return None
    return getattr(value, kind)
