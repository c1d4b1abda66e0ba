"""What an admin does: policies and tokens."""

from __future__ import annotations

from collections.abc import Sequence

from aegis import _answers, _requests, types
from aegis._operations.effects import Operation, call
from aegis._proto import admin_pb2, policy_pb2
from aegis._settings import Settings
from aegis.core.errors import GovernanceError


def get_policy(settings: Settings, revision: str | None) -> Operation[types.PolicyInfo]:
    response = yield from call(settings, "GetPolicy", policy_pb2.GetPolicyRequest(revision=revision or ""))
    return _answers.policy(response.policy)


def validate_policy(settings: Settings, layers: Sequence[types.PolicyLayer]) -> Operation[types.Validation]:
    request = policy_pb2.ValidatePolicyRequest(
        layers=[policy_pb2.PolicyLayer(name=layer.name, yaml=layer.yaml) for layer in layers]
    )
    return _answers.validation((yield from call(settings, "ValidatePolicy", request)))


def update_policy(settings: Settings, yaml: str, expected_revision: str | None) -> Operation[types.PolicyInfo]:
    # The same text again is the same policy: a retry is safe unless somebody else changed it in between.
    request = policy_pb2.UpdatePolicyRequest(yaml=yaml, expected_revision=expected_revision or "")
    response = yield from call(settings, "UpdatePolicy", request, retries=None if expected_revision else 0)
    return _answers.policy(response.policy)


_ROLES = {
    "agent": admin_pb2.ROLE_AGENT,
    "reviewer": admin_pb2.ROLE_REVIEWER,
    "auditor": admin_pb2.ROLE_AUDITOR,
    "admin": admin_pb2.ROLE_ADMIN,
}


def create_token(
    settings: Settings, name: str, roles: Sequence[str], actor: str, lifetime: float | None
) -> Operation[str]:
    unknown = [role for role in roles if role not in _ROLES]
    if unknown:
        raise GovernanceError(f"`{unknown[0]}` is none of {', '.join(_ROLES)}")
    request = admin_pb2.CreateTokenRequest(
        name=name,
        roles=[_ROLES[role] for role in roles],
        actor=actor,
        lifetime=None if lifetime is None else _requests.duration(lifetime),
    )
    # Not retried: a lost answer would leave a token behind that nobody holds.
    secret: str = (yield from call(settings, "CreateToken", request, retries=0)).secret
    return secret
