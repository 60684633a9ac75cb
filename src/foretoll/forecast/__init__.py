"""From signals to the toll. Reads records only; there is no torch in this room.

`case` says what a forecaster may see, `survival` holds the censored statistics, `regressor` the one model of a
cost, `forecaster` puts the learned and the composed costs together.
"""

from __future__ import annotations

from foretoll.forecast.case import Case, case_of_run
from foretoll.forecast.compose import compose_costs
from foretoll.forecast.forecaster import Forecaster, Prediction

__all__ = ["Case", "Forecaster", "Prediction", "case_of_run", "compose_costs"]
