"""A network from the user's own function, ``package.module:function``, imported only because the user names it.

It must build a torch.nn.Module. What cannot is refused before it is called where that can be known: the standard
library, built-in functions, torch's and foretoll's own functions, classes of another kind, functions that say that
they return something else, and functions of installed packages that have nothing to do with torch.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import inspect
import site
import sys
import sysconfig
import types
import typing
from pathlib import Path
from typing import Any

from torch import nn

from foretoll.errors import ModelError, UsageError, shown
from foretoll.models.spec import SCHEMES, Spec, guarded_build, nearest, one_line
from foretoll.models.trust import Trust

_RETURNS_NETWORK = "name a function or class that returns a torch.nn.Module"


def factory_network(spec: Spec, num_classes: int | None, trust: Trust, where: str) -> nn.Module:
    """Import and call the function, with `num_classes` if its signature takes it, and with the spec's options.

    `where` names the file that says so, for the refusal. The current folder is importable for that import alone.
    Raises UsageError for unknown names and for what builds no network, ModelError where `trust` does not allow it
    (before anything is imported), or where the import or the call fails.
    """
    trust.check(spec, where)
    module_name, _, attribute = spec.name.partition(":")
    _check_module(spec.name, module_name)
    factory: Any = _imported(spec.name, module_name, attribute)
    for part in attribute.split("."):
        if not hasattr(factory, part):
            public = [name for name in dir(factory) if not name.startswith("_")]
            raise UsageError(nearest(f"function of {module_name}", part, public))
        factory = getattr(factory, part)
    _check_factory(spec.name, factory)
    extra: dict[str, Any] = dict(spec.build_options)
    if num_classes is not None and _takes_num_classes(factory):
        extra["num_classes"] = num_classes
    return guarded_build(shown(spec.name), lambda: factory(**extra))


def _takes_num_classes(factory: Any) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a callable that does not tell
        return False
    return "num_classes" in parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )


def _imported(name: str, module_name: str, attribute: str) -> types.ModuleType:
    here = str(Path.cwd())
    added = here not in sys.path
    if added:  # as `python -m` would, for this import alone
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ModelError(f"importing {shown(module_name)} fails: {one_line(error)}") from error
        near = difflib.get_close_matches(module_name, SCHEMES, n=1)
        hint = f"did you mean {near[0]}:{attribute}?" if near else "check the name"
        raise UsageError(
            f"the model {shown(name)} names the module {shown(module_name)}, which cannot be found from the current "
            f"folder: {hint}"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ModelError(
            f"importing {shown(module_name)} fails: {type(error).__name__}: {one_line(error)}"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _check_module(name: str, module_name: str) -> None:
    """Refuse what holds no architecture, before it is imported: importing is running."""
    top = module_name.partition(".")[0]
    if top == "foretoll":
        raise UsageError(
            f"{shown(name)} is foretoll's own code and no architecture: give foretoll:NAME for its architectures, or "
            "your own package.module:function"
        )
    if _is_standard(top):
        raise UsageError(
            f"{shown(name)} is of Python's standard library, which builds no network: {_RETURNS_NETWORK}"
        )


def _is_standard(top: str) -> bool:
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(top)
    origin = getattr(loaded, "__file__", None) if loaded is not None else None
    if origin is None:
        return False
    library = Path(sysconfig.get_path("stdlib")).resolve()
    file = Path(origin).resolve()
    return file.is_relative_to(library) and not _is_installed(file)


def _is_installed(file: Path) -> bool:
    """Whether a file belongs to an installed package, not to the user's own folders."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()}
    return (
        any(file.is_relative_to(Path(place).resolve()) for place in places) or "site-packages" in file.parts
    )


def _check_factory(name: str, factory: Any) -> None:
    """Raise UsageError where it is known, without calling it, that `factory` returns no network."""
    if isinstance(factory, nn.Module):
        raise UsageError(
            f"{shown(name)} is a network and not what builds one: name a function that returns it"
        )
    if not callable(factory):
        raise UsageError(f"{shown(name)} is no function or class: {_RETURNS_NETWORK}")
    inner = factory
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    if isinstance(inner, type):
        if not issubclass(inner, nn.Module):
            raise UsageError(f"{shown(name)} is a class and no torch.nn.Module: {_RETURNS_NETWORK}")
        return
    inner = inspect.unwrap(inner)
    if isinstance(
        inner, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType
    ):
        raise UsageError(f"{shown(name)} is a built-in function, which builds no network: {_RETURNS_NETWORK}")
    if inspect.iscoroutinefunction(inner) or inspect.isgeneratorfunction(inner):
        raise UsageError(f"{shown(name)} is a coroutine or generator: {_RETURNS_NETWORK}")
    module = str(getattr(inner, "__module__", None) or type(inner).__module__)
    top = module.partition(".")[0]
    if top in ("torch", "foretoll") or _is_standard(top):
        raise UsageError(f"{shown(name)} is a function of {top}, which builds no network: {_RETURNS_NETWORK}")
    returned = _annotated(inner)
    if returned is not None:
        if issubclass(returned, nn.Module):
            return
        raise UsageError(f"{shown(name)} returns {returned.__name__} by its annotation: {_RETURNS_NETWORK}")
    source = getattr(sys.modules.get(module), "__file__", None)
    if source is not None and _is_installed(Path(source).resolve()) and not _knows_torch(top):
        raise UsageError(
            f"{shown(name)} is of the installed package {shown(top)}, which has nothing to do with torch: "
            f"{_RETURNS_NETWORK}"
        )


def _annotated(function: Any) -> type | None:
    """The class that a function says it returns; None where it does not say, or says something open."""
    try:
        returned = typing.get_type_hints(function).get("return")
    except Exception:  # noqa: BLE001  # an annotation that cannot be evaluated says nothing
        return None
    returned = typing.get_origin(returned) or returned
    if (
        not isinstance(returned, type)
        or returned in (Any, types.UnionType)
        or issubclass(nn.Module, returned)
    ):
        return None
    told = not inspect.isabstract(returned) and not getattr(returned, "_is_protocol", False)
    return returned if told and returned.__module__ != "collections.abc" else None


def _knows_torch(top: str) -> bool:
    """Whether an installed package requires torch, or refers to it in any of its modules that are loaded."""
    for distribution in importlib.metadata.packages_distributions().get(top, ()):
        required = importlib.metadata.requires(distribution) or ()
        if any(line.lower().startswith("torch") for line in required):
            return True
    loaded = [m for n, m in list(sys.modules.items()) if n == top or n.startswith(f"{top}.")]
    return any(_is_torchs(value) for module in loaded for value in list(vars(module).values()))


def _is_torchs(value: object) -> bool:
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] == "torch"
    return isinstance(value, type) and issubclass(value, nn.Module)
