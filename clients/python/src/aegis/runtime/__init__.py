"""Plans of actions over an executor."""

from aegis.runtime.engine import Runtime
from aegis.runtime.plan import ExecutionPlan

__all__ = ["ExecutionPlan", "Runtime"]
