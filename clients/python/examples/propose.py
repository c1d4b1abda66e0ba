"""The calls beneath the wrappers: propose, wait, run, report.

Start `aegis serve` first. Usage: python propose.py COUNT (more than a handful wants a reviewer: `aegis review`)
"""

import sys

from aegis import AegisClient, AegisError


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with AegisClient() as aegis:
        try:
            decision = aegis.propose(
                actor={"id": "agent-7", "type": "ai-agent"},
                action={"type": "bulk_update" if count > 5 else "read", "target": "crm", "params": {"count": count}},
                context={"session_id": "example"},
            )
            if decision.outcome == "ESCALATE":
                print(f"waiting for a reviewer: {decision.approval_id}", flush=True)
                decision = aegis.wait(decision)
        except AegisError as error:
            # Nobody said yes, so nothing runs.
            print(f"no answer: {error}", file=sys.stderr)
            return 1
        print(f"{decision.outcome}: {decision.reason}")
        # Only this one word means that the action may run.
        if decision.outcome == "ALLOW":
            aegis.report(decision, "success", data={"updated": count})
        return 0 if decision.allowed else 3


sys.exit(main())
