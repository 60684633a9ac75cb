"""A network from the user's own function, ``package.module:function``, imported only because the user names it."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from torch import nn

from foretoll.errors import ModelError, UsageError
from foretoll.models.spec import SCHEMES, Spec, guarded_build, nearest, one_line


def factory_network(spec: Spec, num_classes: int | None) -> nn.Module:
    """Import and call the function, with `num_classes` if its signature takes it, and with the spec's options.

    The current folder is importable for that import alone. Raises UsageError for unknown names and ModelError
    where the import or the call fails.
    """
    module_name, _, attribute = spec.name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:  # as `python -m` would, for this import alone
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ModelError(f"importing {module_name} fails: {one_line(error)}") from error
        near = difflib.get_close_matches(module_name, SCHEMES, n=1)
        hint = f"did you mean {near[0]}:{attribute}?" if near else "check the name and the current folder"
        raise UsageError(
            f"the model {spec.name!r} names the module {module_name}, which cannot be found from {here}: {hint}"
        ) from error
    except Exception as error:  # a user's module may raise anything
        raise ModelError(
            f"importing {module_name} fails: {type(error).__name__}: {one_line(error)}"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    factory: Any = module
    for part in attribute.split("."):
        if not hasattr(factory, part):
            public = [name for name in dir(factory) if not name.startswith("_")]
            raise UsageError(nearest(f"function of {module_name}", part, public))
        factory = getattr(factory, part)
    if not callable(factory):
        raise UsageError(f"{spec.name} is no function or class; name one that returns a torch.nn.Module")
    extra: dict[str, Any] = dict(spec.build_options)
    parameters = inspect.signature(factory).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if num_classes is not None and ("num_classes" in parameters or open_ended):
        extra["num_classes"] = num_classes
    return guarded_build(spec.name, lambda: factory(**extra))
