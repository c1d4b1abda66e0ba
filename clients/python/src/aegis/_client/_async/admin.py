"""What admins call."""

from __future__ import annotations

from collections.abc import Sequence

from aegis import types
from aegis._client._async.connection import AsyncConnection
from aegis._operations import admin


class AsyncAdmin(AsyncConnection):
    """What admins call."""

    async def get_policy(self, revision: str | None = None) -> types.PolicyInfo:
        """Gets the policy in force, or an earlier revision. Needs an admin."""
        return await self._run(admin.get_policy(self._settings, revision))

    async def validate_policy(self, *layers: types.PolicyLayer) -> types.Validation:
        """Checks a policy, and lists everything that is wrong with it. Needs an admin."""
        return await self._run(admin.validate_policy(self._settings, layers))

    async def update_policy(self, yaml: str, *, expected_revision: str | None = None) -> types.PolicyInfo:
        """Puts a new policy in force and writes it to the daemon's policy file. Needs an admin.

        Args:
            yaml: The new text of the one policy file.
            expected_revision: The revision that it replaces; None: whatever is in force.
        """
        return await self._run(admin.update_policy(self._settings, yaml, expected_revision))

    async def create_token(
        self, name: str, roles: Sequence[str], *, actor: str = "", lifetime: float | None = None
    ) -> str:
        """Makes a token and returns its secret, which cannot be shown again. Needs an admin.

        Args:
            name: Who will hold it.
            roles: Of `agent`, `reviewer`, `auditor`, `admin`.
            actor: The one actor that it may act for; empty for any.
            lifetime: Seconds that it works; None: until it is revoked.
        """
        return await self._run(admin.create_token(self._settings, name, roles, actor, lifetime))
