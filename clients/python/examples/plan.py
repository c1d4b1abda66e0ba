"""A plan of actions over an executor, with its own sidecar under a policy, and what the record says of it.

Usage: python plan.py [POLICY] (it asks on the terminal where the policy wants a reviewer)
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aegis import Action, Policy, Runtime
from aegis.adapters.base import BaseExecutor

POLICY = """
version: "1"
defaults: { risk_level: medium, approval: approve }
rules:
  - { name: reads, match: { type: "read*" }, risk_level: low, approval: auto }
  - { name: no_deletes, match: { type: "delete*" }, risk_level: critical, approval: block, reason: A person's job. }
"""


class Crm(BaseExecutor):
    """Stands for the system that the agent acts on."""

    async def execute(self, action: Action) -> dict[str, Any]:
        return {"done": action.type, **action.params}


async def main() -> None:
    policy = Policy.from_yaml(sys.argv[1]) if len(sys.argv) > 1 else Policy.from_text(POLICY)
    with TemporaryDirectory() as directory:
        # Without `data_dir`, the record is where `aegis serve` keeps it, and outlives this.
        async with Runtime(executor=Crm(), policy=policy, data_dir=Path(directory, "data")) as runtime:
            plan = runtime.plan(
                [
                    Action("read_contacts", "crm", {"limit": 10}),
                    Action("delete_contact", "crm", {"id": 7}),
                    Action("read_invoices", "crm"),
                ]
            )
            print(plan.summary())
            for result in await runtime.execute(plan):
                print(result)
            for row in runtime.audit.rows(session_id=runtime.session_id):
                print(row.number, row.action.type, row.risk_level.name, row.decision, row.result_status)


asyncio.run(main())
