"""Batches of one sample, of large samples, and epochs without a step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foretoll.data import ArraySplit, TaskData
from foretoll.errors import DataError, UsageError
from foretoll.indices.gradients import gradient_norms
from foretoll.measure import NoMeter
from foretoll.models import build_model
from foretoll.options import get_option, train_to_target
from foretoll.options.reading import training_batches
from foretoll.quality import evaluate, samples_that_fit
from foretoll.records import Outcome, TrainingSettings
from foretoll.representation import Features, sweep
from foretoll.training import Recording
from foretoll.workflows.context import Update
from foretoll.workflows.pilot import Pilot

from .making import blobs, digits, mlp, normed

ONE = TrainingSettings(batch_size=1, max_epochs=1, evals_per_epoch=1)


def trained(option: str, model: object, data: TaskData, settings: TrainingSettings = ONE) -> Recording:
    chosen, cpu = get_option(option), torch.device("cpu")
    training = chosen.start(model, data, settings, task_shift=False, device=cpu)  # type: ignore[arg-type]
    return train_to_target(chosen, training, settings, meter=NoMeter())


def test_batches_of_one_train_a_network_without_batch_norm() -> None:
    data = blobs(60)
    done = trained("finetune", mlp(data), data)
    assert (done.outcome, done.steps, done.steps_per_epoch) == (Outcome.REACHED, 36, 36)
    assert done.curve[-1].loss < done.curve[0].loss


def test_batches_of_one_are_refused_with_batch_norm_unless_it_is_frozen() -> None:
    data = blobs(60)
    message = "batches of one sample cannot train a network with batch norm: give --batch-size 2 or more"
    with pytest.raises(UsageError, match=message):
        trained("finetune", normed(data), data)
    assert bool(gradient_norms(normed(data), data.train, ONE).isfinite().all())  # nothing is trained by it
    cpu = torch.device("cpu")
    pilot = Pilot(get_option("finetune"), Update(normed(data), None, data, False, cpu), ONE)
    pilot.prepare()
    with pytest.raises(UsageError, match=message):
        pilot.step()
    assert trained("head", normed(data), data).outcome is Outcome.REACHED


def test_pilots_and_gradients_take_batches_of_one() -> None:
    data = blobs(60)
    assert len(gradient_norms(mlp(data), data.train, ONE)) == 4
    cpu = torch.device("cpu")
    pilot = Pilot(get_option("finetune"), Update(mlp(data), None, data, False, cpu), ONE)
    pilot.prepare()
    for _ in range(8):
        pilot.step()
    assert pilot.look() > 0 and "pilot8_loss" in pilot.signals


def test_no_epoch_goes_on_without_a_step() -> None:
    split = blobs(60).train
    assert [len(b.labels) for b in training_batches(split, 35, 0)] == [35]
    with pytest.raises(DataError, match="an epoch of 0 samples has no step to take"):
        list(training_batches(split.take(torch.arange(0)), 16, 0))
    assert [len(b.labels) for b in training_batches(split.take(torch.arange(1)), 16, 0)] == [1]


# --- memory ---------------------------------------------------------------------------------------


class Counting(nn.Module):
    """Wide in the middle; notes how many samples came at once."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.wide = nn.Conv2d(3, wide, 1)
        self.head = nn.Linear(wide, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        logits: Tensor = self.head(self.wide(x).mean((2, 3)))
        return logits


def pictures(side: int, n: int = 40) -> TaskData:
    from foretoll.data import open_data

    images = torch.randint(0, 256, (n, side, side, 3), generator=torch.Generator().manual_seed(0))
    images[1::2] //= 2
    return open_data((images.to(torch.uint8).numpy(), [i % 2 for i in range(n)]))


def test_large_pictures_are_evaluated_in_batches_that_fit() -> None:
    from foretoll.models import load_model

    data = pictures(256)
    network = Counting(256)  # 67 MB of activations a sample
    model = load_model(network, data=data)
    network.seen.clear()
    whole = ArraySplit(data.train.all().inputs, data.train.labels)
    found = evaluate(model, whole)
    assert samples_that_fit(model, whole, 512) == 1 == max(network.seen)
    assert sum(network.seen) == len(whole) + 2  # and one to look at each time
    small = load_model(Counting(1), data=data)
    assert samples_that_fit(small, whole, 512) == 128
    assert found.samples == len(whole)


def test_layers_of_large_pictures_are_looked_at() -> None:
    from foretoll.models import load_model

    data = pictures(128, n=20)
    model = load_model(Counting(4), data=data)
    seen: list[Features] = []
    assert sweep(model, data.train, [seen.append], layers=["wide"]) == len(data.train)
    assert sum(len(one.layers["wide"]) for one in seen) == len(data.train)


def test_small_samples_are_evaluated_as_ever_without_a_look() -> None:
    data = digits()
    model = build_model("foretoll:cnn?width=4", data=data, seed=0)
    assert samples_that_fit(model, data.train, 512) == 512


def test_what_is_measured_does_not_depend_on_the_batches() -> None:
    from foretoll.models import load_model

    data = pictures(64, n=80)
    torch.manual_seed(0)
    model = load_model(Counting(4), data=data)
    found = [evaluate(model, data.train, batch_size=size) for size in (1, 3, 48, 512)]
    assert len({one.quality for one in found}) == 1
    assert max(one.loss for one in found) == pytest.approx(min(one.loss for one in found), rel=1e-6)


class Hungry(nn.Module):
    """Asks for more memory than any machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            torch.empty(2**60)
        logits: Tensor = self.head(x)
        return logits


def test_a_cpu_that_runs_out_of_memory_fails_the_run_in_words() -> None:
    from foretoll.models import load_model

    data = blobs(60)
    done = trained("finetune", load_model(Hungry(), data=data), data, TrainingSettings(max_epochs=1))
    assert done.outcome is Outcome.FAILED
    assert done.reason == "out of memory on cpu: try a smaller --batch-size, or smaller images"


def test_a_fresh_network_looks_at_photographs_made_smaller() -> None:
    data = pictures(320, n=20)
    plan = build_model("foretoll:cnn?width=2", data=data, seed=0).card.preprocessing
    assert plan.size == (256, 256)
    assert "input_size=HxW" in plan.origin
    asked = build_model("foretoll:cnn?width=2&input_size=300", data=data, seed=0)
    assert (asked.card.preprocessing.size, asked.card.preprocessing.origin) == ((300, 300), "")
    small = build_model("foretoll:cnn?width=2", data=pictures(64, n=20), seed=0)
    assert (small.card.preprocessing.size, small.card.preprocessing.origin) == ((64, 64), "")
