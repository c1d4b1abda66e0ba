"""The test kit as pytest fixtures. Installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aegis.testing import Sidecar


def pytest_configure(config: pytest.Config) -> None:
    """Names the marker."""
    config.addinivalue_line("markers", "aegis_policy(policy): the policy of the fixture `aegis_sidecar`")


@pytest.fixture
def aegis_sidecar(request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """A daemon of the test's own."""
    # Not before it is used: a plugin is loaded for every test of everybody.
    from aegis.testing import Sidecar

    marker = request.node.get_closest_marker("aegis_policy")
    with Sidecar(marker.args[0] if marker is not None else None) as sidecar:
        yield sidecar


@pytest.fixture
def aegis_isolated() -> Iterator[None]:
    """`Runtime(policy=...)` starts its sidecar as a test kit's."""
    from aegis.testing import isolated

    with isolated():
        yield
