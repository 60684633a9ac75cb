"""When to update: policies, pure rules over what may be known, by name."""

from foretoll.decide.policies.base import Choice, Policy, Spending, Verdict, View
from foretoll.decide.policies.table import DEFAULT_POLICY, POLICIES, get_policy

__all__ = ["DEFAULT_POLICY", "POLICIES", "Choice", "Policy", "Spending", "Verdict", "View", "get_policy"]
