"""Finds the steps of a loop by torch's own hooks, so that nothing in the loop has to change.

The optimiser says when it steps and with which gradients; the model says what it is called with and in which mode.
Where the optimiser is given a closure (LBFGS, Lightning), gradients are those that the closure leaves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.tracking.gradients import gradient_norm

if TYPE_CHECKING:
    from foretoll.tracking.observer import Observer
    from foretoll.training.guard import Guard


class Hooks:
    """The hooks on one model and one optimiser; `remove` takes them off again."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, observer: Observer, guard: Guard
    ) -> None:
        self.observer, self.guard = observer, guard
        self._handles: list[Any] = [
            optimizer.register_step_pre_hook(_uncompiled(self._before_step)),
            optimizer.register_step_post_hook(_uncompiled(self._after_step)),
        ]
        # one compiled in place (`model.compile()`) would have the hook compiled too: there its mode is read at steps
        self.sees_calls = getattr(model, "_compiled_call_impl", None) is None
        if self.sees_calls:
            self._handles.append(
                model.register_forward_pre_hook(_uncompiled(self._before_call), with_kwargs=True)
            )
        self.model = model
        self._norm: Tensor | None = None

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before_call(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.guard.call("watching the model", lambda: self.observer.called(model.training, args, kwargs))

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        closure, replace = _closure_of(args, kwargs)
        self._norm = None
        if closure is None:
            self._take_norm(optimizer)
            return None

        def watched() -> Any:  # the user's own code, outside of the guard
            loss = closure()
            self._take_norm(optimizer)
            return loss

        return replace(watched)

    def _take_norm(self, optimizer: torch.optim.Optimizer) -> None:
        self._norm = self.guard.call(
            "taking gradient norms", lambda: gradient_norm(optimizer), so="the run is recorded without them"
        )

    def _after_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        norm, self._norm = self._norm, None
        skipped = getattr(
            optimizer, "found_inf", None
        )  # of a loss scaler whose optimiser decides on the device

        def count() -> None:
            if not self.sees_calls:
                self.observer.called(True, (), {})
            self.observer.stepped(norm, skipped if isinstance(skipped, Tensor) else None)

        self.guard.call("counting steps", count, so="the run is recorded without the rest of them")


def _closure_of(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Callable[[], Any] | None, Callable[[Any], tuple[Any, Any]]]:
    """The closure that `step` was given (after the optimiser itself), and how to give another in its place."""
    if kwargs.get("closure") is not None:
        return kwargs["closure"], lambda new: (args, {**kwargs, "closure": new})
    if len(args) > 1 and callable(args[1]):
        return args[1], lambda new: ((args[0], new, *args[2:]), kwargs)
    return None, lambda _new: (args, kwargs)


def _uncompiled(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, left out of what torch.compile compiles (as `torch.compiler.disable`, which loads the compiler)."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        return hook(*args, **kwargs)

    plain._torchdynamo_disable = True  # type: ignore[attr-defined]
    if "torch._dynamo" not in sys.modules:
        return plain
    disabled: Callable[..., Any] = torch.compiler.disable(plain)  # type: ignore[no-untyped-call]
    return disabled
