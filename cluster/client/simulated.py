"""What came of simulated runs, for whoever shows it."""

from __future__ import annotations

from cluster.simulation import LEFT_OUT, Simulated, report
from cluster.simulation.policies import POLICIES

__all__ = ["LEFT_OUT", "POLICIES", "Simulated", "report"]
