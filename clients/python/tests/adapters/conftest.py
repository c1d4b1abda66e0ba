from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aegis import AuditRow
from aegis.testing import AutoApprovalHandler, Sidecar

POLICY = """
version: "1"
defaults: { approval: block, risk_level: critical }
rules:
  - { name: allowed, match: { type: "allowed*" }, approval: auto, risk_level: low }
  - { name: asked, match: { type: "asked*" }, approval: approve, risk_level: high }
  - { name: short, match: { type: "short*" }, approval: approve, timeout: 1s }
  - { name: confirmed, match: { type: "confirmed*" }, approval: confirm }
"""


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with Sidecar(POLICY) as sidecar:
        yield sidecar


@pytest.fixture
def runtime(sidecar: Sidecar) -> Any:
    return sidecar.runtime()


@pytest.fixture
def approving(sidecar: Sidecar) -> Any:
    return sidecar.runtime(approval_handler=AutoApprovalHandler())


def record(sidecar: Sidecar) -> list[tuple[str, str, str | None]]:
    """Type, target and result of every row."""
    return [(row.action.type, row.action.target, status(row)) for row in sidecar.audit.rows()]


def status(row: AuditRow) -> str | None:
    return None if row.result_status is None else row.result_status.value


def recorded(sidecar: Sidecar) -> list[tuple[Any, ...]]:
    """Type, target, params, result, and why."""
    return [
        (row.action.type, row.action.target, row.action.params, status(row), why(row)) for row in sidecar.audit.rows()
    ]


def why(row: Any) -> str:
    return str(row.result_error or (row.ending.reason if row.ending is not None else ""))
