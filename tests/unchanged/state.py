"""What a process and a user's network are made of, read off before and after: what differs has been changed."""

from __future__ import annotations

import atexit
import decimal
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer


def of_process() -> dict[str, Any]:
    """Everything of the calling process that a library could change behind its user's back."""
    return {
        "random state of python": random.getstate(),
        "random state of numpy": str(np.random.get_state()),
        "random state of torch": torch.get_rng_state().tolist(),
        **_torch(),
        "numpy's errors": (np.geterr(), np.geterrcall()),
        "numpy's printing": np.get_printoptions(),
        "environment": dict(os.environ),
        "signal handlers": {number.name: signal.getsignal(number) for number in signal.valid_signals()
                            if isinstance(number, signal.Signals)},
        "alarms": (signal.getitimer(signal.ITIMER_REAL)[0] > 0, _wakeup()),
        "warnings": (list(warnings.filters), warnings.showwarning, warnings.defaultaction),
        **_logging(),
        "sys.path": list(sys.path),
        "import hooks": (list(sys.meta_path), list(sys.path_hooks)),
        "hooks of sys": (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook),
        "tracing": (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "recursion": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "folder": _folder(),
        "umask": _umask(),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource)
                   if name.startswith("RLIMIT_")},
        "niceness": os.nice(0),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "descriptors": _descriptors(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "children": sorted(child.pid for child in psutil.Process().children(recursive=True)),
        "callbacks at the end": atexit._ncallbacks(),
        "collector": (gc.isenabled(), gc.get_threshold(), len(gc.callbacks), gc.get_freeze_count()),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": str(decimal.getcontext()),
        "temporary folder": tempfile.tempdir,
    }  # fmt: skip


def _torch() -> dict[str, Any]:
    return {
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "types and devices of torch": (torch.get_default_dtype(), torch.get_default_device()),
        "determinism of torch": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.enabled,
            torch.backends.mkldnn.enabled,
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        "precision of torch": (
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
        ),
        "modes of torch": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_anomaly_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
            torch.is_autocast_cache_enabled(),
        ),
        "printing of torch": str(vars(torch._tensor_str.PRINT_OPTS)),
        "hooks on all modules": {
            name: list(value) for name, value in vars(torch_module).items()
            if name.startswith("_global") and isinstance(value, dict)
        },
        "hooks on all optimisers": {
            name: list(value) for name, value in vars(torch_optimizer).items()
            if name.startswith("_global") and isinstance(value, dict)
        },
        "multiprocessing of torch": torch.multiprocessing.get_sharing_strategy(),
    }  # fmt: skip


def _logging() -> dict[str, Any]:
    """Levels, handlers and filters of all loggers that there are; of new ones see `changes`."""
    known = {"": logging.getLogger()} | {
        name: logger for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }  # fmt: skip
    return {
        "logging": {name: (log.level, list(log.handlers), list(log.filters), log.propagate, log.disabled)
                    for name, log in known.items()},
        "all of logging": (logging.root.manager.disable, logging.getLoggerClass(), logging.getLogRecordFactory(),
                           logging.lastResort, logging.raiseExceptions),
    }  # fmt: skip


def _wakeup() -> int:
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return descriptor


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "gone"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    folder = Path("/proc/self/fd")
    for name in os.listdir(folder) if folder.is_dir() else []:  # noqa: PTH208  # names of what may be gone
        try:
            found[int(name)] = os.readlink(folder / name)  # noqa: PTH115
        except OSError:
            continue
    return {number: place for number, place in found.items() if not place.startswith(f"/proc/{os.getpid()}/")}


HOOKS = [name for name in vars(nn.Module()) if "hooks" in name]


def of_network(network: nn.Module) -> dict[str, Any]:
    """A user's network: weights and gradients bit for bit, modes, hooks, and what its modules hold."""
    found: dict[str, Any] = {}
    for name, part in network.named_modules():
        found[f"mode of {name}"] = part.training
        found[f"class of {name}"] = type(part)
        found[f"attributes of {name}"] = sorted(vars(part))
        for kind in HOOKS:
            hooks = getattr(part, kind)
            found[f"{kind} of {name}"] = list(hooks.values()) if isinstance(hooks, dict) else hooks
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        kept = {
            "requires_grad": value.requires_grad, "device": value.device, "type": value.dtype,
            "hooks": list((value._backward_hooks or {}).values()), "version": value._version,
            "gradient": _bits(value.grad), "numbers": _bits(value),
        }  # fmt: skip
        found |= {f"{what} of {name}": value for what, value in kept.items()}
    return found


def places_of(network: nn.Module) -> list[tuple[int, int]]:
    """Which tensors a network has, and where their numbers lie: an optimiser and a user hold on to them."""
    return [(id(value), value.data_ptr()) for value in [*network.parameters(), *network.buffers()]]


def _bits(value: torch.Tensor | None) -> Any:
    return None if value is None else value.detach().cpu().contiguous().numpy().tobytes()


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line on each difference.

    Not counted: what a library adds for itself alone when it is imported (its loggers, filters for its warnings).
    """
    return list(_changes(before, after))


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if name == "logging" and old is not None and new is not None:
            new = {key: value for key, value in new.items() if key in old}
        if name == "warnings" and old is not None and new is not None:
            new = ([each for each in new[0] if each in old[0] or not _of_a_library(each)], *new[1:])
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            keys = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
            old, new = {key: old.get(key) for key in keys}, {key: new.get(key) for key in keys}
        yield f"{name}: {str(old)[:300]} became {str(new)[:300]}"


def _of_a_library(entry: Any) -> bool:
    """Whether a filter is for one message, or for a kind of warning that a library defines itself."""
    _, message, kind, module, _ = entry
    one = message is not None or module is not None
    return one or kind.__module__.split(".")[0] not in ("builtins", "foretoll")
