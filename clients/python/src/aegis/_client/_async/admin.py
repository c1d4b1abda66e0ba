"""What admins call."""

from __future__ import annotations

from collections.abc import Sequence

from aegis import types
from aegis._client._async.connection import AsyncConnection
from aegis._operations import admin


class AsyncAdmin(AsyncConnection):
    """What admins call."""

    async def get_policy(self, revision: str | None = None) -> types.PolicyInfo:
        """Gets the policy in force, or an earlier revision. Needs an admin or an auditor."""
        return await self._run(admin.get_policy(self._settings, revision))

    async def validate_policy(self, *layers: types.PolicyLayer) -> types.Validation:
        """Checks a policy, and lists everything that is wrong with it. Needs an admin or an auditor."""
        return await self._run(admin.validate_policy(self._settings, layers))

    async def update_policy(
        self,
        yaml: str | None = None,
        *,
        revision: str | None = None,
        expected_revision: str | None = None,
        comment: str = "",
        validate_only: bool = False,
    ) -> types.PolicyInfo:
        """Puts a policy in force and writes it to the daemon's policy file. Needs an admin.

        Args:
            yaml: The new text of the one policy file.
            revision: In place of a text, an earlier revision that comes into force again; or its first characters.
            expected_revision: The revision that it replaces; None: whatever is in force.
            comment: Why, for the record.
            validate_only: Whether to check everything and change nothing.
        """
        return await self._run(
            admin.update_policy(
                self._settings,
                yaml,
                revision=revision,
                expected_revision=expected_revision,
                comment=comment,
                validate_only=validate_only,
            )
        )

    async def create_token(
        self, name: str, roles: Sequence[str], *, actor_id: str = "", lifetime: float | None = None
    ) -> str:
        """Makes a token and returns its secret, which cannot be shown again. Needs an admin.

        Args:
            name: Who will hold it.
            roles: Of `agent`, `reviewer`, `auditor`, `admin`.
            actor_id: The one actor that it may act for; empty for any.
            lifetime: Seconds that it works; None: until it is revoked.
        """
        return await self._run(admin.create_token(self._settings, name, roles, actor_id, lifetime))
