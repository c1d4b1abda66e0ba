"""A runtime's connection to its daemon, and what belongs to it: the sidecar, the operator, the terms of every call."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aegis import types
from aegis._client import AegisClient
from aegis._govern.terms import Terms
from aegis._operations import admin
from aegis._settings import Settings
from aegis._transport import Transport
from aegis.core.errors import AegisError
from aegis.core.policy import Policy
from aegis.runtime.approval import ApprovalHandler, CLIApprovalHandler
from aegis.runtime.asking import asking
from aegis.runtime.audit import AuditLog
from aegis.runtime.options import Access, AnyClient, Options
from aegis.runtime.sidecar import LocalSidecar


@dataclass(frozen=True)
class Connector:
    """How to connect, and for whom."""

    client: AnyClient | None
    policy: Policy | None
    data_dir: Path | None
    options: Options
    actor: Mapping[str, Any] | types.Actor | str | None
    context: Mapping[str, Any]

    def connect(self) -> Opened:
        """Finds or starts the daemon."""
        local: LocalSidecar | None = None
        operator: AegisClient | None = None
        pinned: str | None = None
        own = True
        if self.client is not None:
            transport, own = self.client._transport, False
            pinned = self.policy.revision if self.policy is not None else None
        elif self.policy is None:
            transport = AegisClient()._transport
        else:
            local = LocalSidecar(self.policy, self.data_dir)
            local.open()
            transport, operator = local.agent()._transport, local.operator()
        opened = Opened(transport, own, local, operator, self.options.access, Terms(transport.settings))
        try:
            opened.terms = self._terms(opened, pinned)
        except BaseException:
            opened.close()
            raise
        return opened

    def _terms(self, opened: Opened, pinned: str | None) -> Terms:
        approvals = self.options.approvals
        reviewer = self.options.access.reviewer if self.options.access.reviewer is not None else opened.operator
        handler = self._handler(opened)
        if handler is not None and reviewer is not None:
            handler.attached(reviewer._settings)
        logger = self.options.recording.logger
        return Terms(
            opened.settings,
            self.actor,
            self.context,
            approvals.timeout,
            approvals.confirm,
            self.options.hooks,
            pinned,
            asking(opened.transport, handler, reviewer, approvals.timeout),
            None if logger is None else logger.log,
            self.options.recording.data,
        )

    def _handler(self, opened: Opened) -> ApprovalHandler | None:
        handler = self.options.approvals.handler
        if handler is None and opened.operator is not None and sys.stdin is not None and sys.stdin.isatty():
            return CLIApprovalHandler()
        return handler


class Opened:
    """A connection that is open."""

    def __init__(
        self,
        transport: Transport,
        own: bool,
        sidecar: LocalSidecar | None,
        operator: AegisClient | None,
        access: Access,
        terms: Terms,
    ) -> None:
        self.transport = transport
        self.sidecar, self.operator = sidecar, operator
        self.terms = terms
        self._own, self._access = own, access

    @property
    def settings(self) -> Settings:
        """The settings of the connection."""
        return self.transport.settings

    def change_policy(self, policy: Policy) -> str:
        """Puts another policy in force; its revision."""
        if self.sidecar is not None and self.sidecar.is_own:
            revision = self.sidecar.update_policy(policy.layers)
        elif self._access.admin is not None:
            if len(policy.layers) != 1:
                raise AegisError(
                    f"a daemon takes a policy of one layer over the network, and this one has {len(policy.layers)}: "
                    "change its files"
                )
            transport = self._access.admin._transport
            revision = transport.run(admin.update_policy(transport.settings, policy.layers[0].yaml)).revision
        else:
            raise AegisError(
                "only an admin changes the policy of a daemon, and this process has no admin's credential: pass "
                "`access=Access(admin=AegisClient(endpoint, token))`, or change the daemon's policy file"
            )
        if self.terms.pinned_revision is not None:
            self.terms = replace(self.terms, pinned_revision=revision)
        return revision

    def record(self) -> AuditLog:
        """The record, read as an auditor."""
        client = self._access.auditor if self._access.auditor is not None else self.operator
        if client is None:
            raise AegisError(
                "only auditors read the record, and this process has no auditor's credential: pass "
                "`access=Access(auditor=AegisClient(endpoint, token))` (`aegis token create --role auditor` makes a "
                "token), or use `aegis audit`"
            )
        return AuditLog(AegisClient._over(client._transport))

    def close(self) -> None:
        """Closes what the runtime opened, and stops its sidecar."""
        if self._own:
            self.transport.close()
        if self.operator is not None:
            self.operator.close()
        if self.sidecar is not None:
            self.sidecar.close()
