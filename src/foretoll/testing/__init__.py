"""Checks for parts of your own: each runs the laws that foretoll's own parts are held to, and says which one is broken.

    from foretoll.testing import check_option

    def test_my_option() -> None:
        check_option(MyOption())

Each takes the part (an object, or the class where foretoll makes the objects) and raises `ContractError` with one
sentence, or whatever the part itself raises. foretoll's own tests call the very same functions for everything that is
registered.
"""

from foretoll.testing.data import check_data
from foretoll.testing.indices import check_index
from foretoll.testing.laws import ContractError, small_data, small_model
from foretoll.testing.meters import check_meter
from foretoll.testing.options import check_option
from foretoll.testing.policies import check_policy
from foretoll.testing.stop_rules import check_stop_rule
from foretoll.testing.task import check_task

__all__ = [
    "ContractError",
    "check_data",
    "check_index",
    "check_meter",
    "check_option",
    "check_policy",
    "check_stop_rule",
    "check_task",
    "small_data",
    "small_model",
]
