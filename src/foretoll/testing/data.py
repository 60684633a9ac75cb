"""The laws of a data scheme."""

from __future__ import annotations

import torch

from foretoll.data import TaskData, open_data
from foretoll.data.schemes import SCHEMES, DataScheme
from foretoll.data.uri import parse_uri
from foretoll.errors import DataError, UsageError
from foretoll.testing.laws import hold

MISSING = "/no/such/place/of/foretoll"


def check_data(scheme: DataScheme, uri: str) -> None:
    """Check that a scheme keeps the contract of `foretoll.data.schemes.DataScheme`, on data that `uri` names.

    1. Its name can stand before the colon, and its keys are no common ones.
    2. The same URI gives the same samples; train, validation and test share none.
    3. `limit=` takes fewer of them; a key that there is not is refused.
    4. What does not exist is a DataError or a UsageError, in one sentence.

    Raises:
        ContractError: a law is broken.

    """
    hold(isinstance(scheme, DataScheme), f"{scheme!r} is no foretoll.data.schemes.DataScheme")
    name = scheme.name
    hold(name.replace("-", "").isalnum() and len(name) > 1, f"{name!r} cannot stand before a colon")
    SCHEMES.part(scheme)
    hold(uri.partition(":")[0].partition("?")[0] == name, f"{uri!r} is not of the scheme {name!r}")
    first, again = open_data(uri), open_data(uri)
    hold(len(first.train) > 1 and len(first.test) > 0, f"{name}: {uri} has no train or no test samples")
    alike = _ids(first) == _ids(again) and _labels(first) == _labels(again)
    hold(alike, f"{name}: opened again, {uri} gives other samples")
    parts = _ids(first)
    shared = (parts[0] & parts[1]) | (parts[0] & parts[2]) | (parts[1] & parts[2])
    hold(not shared, f"{name}: {len(shared)} samples are in two of train, validation and test")
    mark = "&" if "?" in uri else "?"
    few = open_data(f"{uri}{mark}limit={len(first.train) // 2 + 2}")
    hold(len(few.train) < len(first.train), f"{name}: limit= takes no fewer samples")
    hold(_refuses(f"{uri}{mark}no_such_key=1"), f"{name}: a key that there is not is accepted")
    if scheme.follows == "a path":
        hold(_refuses(f"{name}:{MISSING}"), f"{name}: a path that does not exist is accepted")


def _ids(data: TaskData) -> list[set[int]]:
    return [set(part.ids.tolist()) for part in (data.train, data.validation, data.test)]


def _labels(data: TaskData) -> list[float]:
    return [] if data.train.labels is None else torch.as_tensor(data.train.labels).flatten().tolist()


def _refuses(uri: str) -> bool:
    try:
        parse_uri(uri)
        open_data(uri)
    except (DataError, UsageError):
        return True
    return False
