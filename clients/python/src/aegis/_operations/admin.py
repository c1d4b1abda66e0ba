"""What an admin does: policies and tokens."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from aegis import _answers, _enums, _requests, types
from aegis._operations.effects import Operation, call
from aegis._proto import admin_pb2, policy_pb2
from aegis._settings import Settings
from aegis._values import check_text
from aegis.core.errors import GovernanceError


def get_policy(settings: Settings, revision: str | None) -> Operation[types.PolicyInfo]:
    response = yield from call(settings, "GetPolicy", policy_pb2.GetPolicyRequest(revision=revision or ""))
    return _answers.policy(response.policy)


def validate_policy(settings: Settings, layers: Sequence[types.PolicyLayer]) -> Operation[types.Validation]:
    request = policy_pb2.ValidatePolicyRequest(
        layers=[policy_pb2.PolicyLayer(name=layer.name, yaml=layer.yaml) for layer in layers]
    )
    return _answers.validation((yield from call(settings, "ValidatePolicy", request)))


def update_policy(
    settings: Settings,
    yaml: str | None,
    *,
    revision: str | None = None,
    expected_revision: str | None = None,
    comment: str = "",
    validate_only: bool = False,
) -> Operation[types.PolicyInfo]:
    if (yaml is None) == (revision is None):
        raise TypeError("give the new text of the policy file, or the `revision` that comes into force again")
    request = policy_pb2.UpdatePolicyRequest(
        expected_revision=expected_revision or "",
        comment=check_text(comment, "comment"),
        validate_only=validate_only,
        request_id=uuid.uuid4().hex,
    )
    if revision is not None:
        request.revision = check_text(revision, "revision")
    else:
        request.layers.layers.add(yaml=check_text(yaml, "yaml"))
    response = yield from call(settings, "UpdatePolicy", request)
    return _answers.policy(response.policy)


def create_token(
    settings: Settings, name: str, roles: Sequence[str], actor_id: str, lifetime: float | None
) -> Operation[str]:
    unknown = [role for role in roles if role not in _enums.ROLES]
    if unknown:
        raise GovernanceError(f"`{unknown[0]}` is none of {', '.join(_enums.ROLES)}")
    request = admin_pb2.CreateTokenRequest(
        name=name,
        roles=[_enums.ROLES[role] for role in roles],
        actor_id=actor_id,
        lifetime=None if lifetime is None else _requests.duration(lifetime),
        # A retry gets the same token and its secret.
        request_id=uuid.uuid4().hex,
    )
    secret: str = (yield from call(settings, "CreateToken", request)).secret
    return secret
