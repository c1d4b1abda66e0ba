"""Plans of actions over an executor."""

from aegis.runtime.engine import Runtime
from aegis.runtime.options import Access, Approvals, Hooks, Recording, Retries
from aegis.runtime.plan import ExecutionPlan

__all__ = ["Access", "Approvals", "ExecutionPlan", "Hooks", "Recording", "Retries", "Runtime"]
