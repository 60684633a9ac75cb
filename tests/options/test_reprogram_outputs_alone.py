"""The option `reprogram` where the program is trained by what the source says alone."""

from __future__ import annotations

import pytest
import torch

from foretoll.measure.fixed_meters import NoMeter
from foretoll.options import get_option, train_to_target
from foretoll.options.reprogram import MAPPINGS, OPTIMISERS, PROGRAMS
from foretoll.options.stepper import Stepper
from foretoll.records import TrainingSettings
from foretoll.reprogram import BLACK_BOX_OPTIMISERS
from foretoll.reprogram.registry import MAPPINGS as ALL_MAPPINGS
from foretoll.reprogram.registry import PROGRAMS as ALL_PROGRAMS

from .making import blobs, mlp, same, weights

CPU = torch.device("cpu")


def test_the_names_are_those_of_the_component() -> None:
    assert (tuple(ALL_PROGRAMS), tuple(ALL_MAPPINGS)) == (PROGRAMS, MAPPINGS)
    assert set(BLACK_BOX_OPTIMISERS) == set(OPTIMISERS) - {"gradient"}
    for (
        name,
        kind,
    ) in BLACK_BOX_OPTIMISERS.items():  # the rate that fit_black_box takes, over our default of 0.001
        assert OPTIMISERS[name] * 1e-3 == pytest.approx(kind.usual_lr)


@pytest.mark.parametrize("optimiser", sorted(BLACK_BOX_OPTIMISERS))
def test_a_program_is_trained_without_a_gradient(optimiser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = blobs(), blobs(seed=1)
    model = mlp(source)
    option = get_option(f"reprogram?optimiser={optimiser}")
    settings = TrainingSettings(batch_size=32, max_epochs=3, lr=1e-3, seed=3)
    training = option.start(model, target, settings, task_shift=False, device=CPU)
    before = weights(model)
    monkeypatch.setattr(torch.Tensor, "backward", None)  # whoever takes a gradient fails
    found = train_to_target(option, training, settings, meter=NoMeter())
    assert found.steps == 3 * found.steps_per_epoch
    assert found.gradient_norm is not None and found.gradient_norm.mean > 0
    assert found.parameter_change is not None and found.parameter_change > 0
    assert found.curve[-1].loss < found.curve[0].loss
    assert same(weights(model), before)


def test_accumulated_batches_share_the_rate() -> None:
    data = blobs()
    settings = TrainingSettings(batch_size=16, accumulate=2, lr=1e-3, seed=3)
    option = get_option("reprogram?optimiser=spsa_gc")
    training = option.start(mlp(data), data, settings, task_shift=False, device=CPU)
    training.begin()
    training.into_training()
    loss, norm = Stepper(training, option, settings).take([next(data.train.batches(16))] * 2)
    assert torch.isfinite(loss) and norm > 0
