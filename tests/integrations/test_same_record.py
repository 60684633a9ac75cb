"""The plain loop, the Trainer's, Lightning's and accelerate's give the record of foretoll's own loop, but for times."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import foretoll
from foretoll.ledger import Ledger
from foretoll.records import Outcome, TrainingSettings

from .shared import (
    ACCOUNTING,
    EPOCHS,
    SETTINGS,
    Batches,
    by_foretoll,
    check_same,
    net,
    optimizer_of,
    quality,
    task,
)

QUIET: dict[str, Any] = {"accounting": ACCOUNTING, "quiet": True, "strict": True}


def test_a_plain_loop() -> None:
    data = task()
    own, batches, model = by_foretoll(data), Batches(data), net()
    optimizer = optimizer_of(model)
    with foretoll.track(
        model, optimizer, target=data, settings=TrainingSettings(max_epochs=2), **QUIET
    ) as run:
        for _ in range(EPOCHS):
            for batch in batches:
                optimizer.zero_grad()
                F.cross_entropy(model(batch["x"]), batch["labels"]).backward()
                optimizer.step()
            run.evaluate(quality(model, data))
    check_same(run.record, model.state_dict(), own)


class Wrapped(nn.Module):
    """The network as the Trainer wants it: a loss first, then the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.net(x)
        return (
            {"logits": logits}
            if labels is None
            else {"loss": F.cross_entropy(logits, labels), "logits": logits}
        )


def trainer_of(data: Any, folder: Path, callback: Any, **more: Any) -> tuple[Any, Wrapped]:
    transformers = pytest.importorskip("transformers")
    batches, model = Batches(data), Wrapped()
    inputs, labels = next(data.validation.batches(10_000))
    held = [{"x": torch.as_tensor(x).float(), "labels": y} for x, y in zip(inputs, labels, strict=True)]

    class Trainer(transformers.Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return DataLoader(batches, batch_size=None)

    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=20, learning_rate=SETTINGS.lr,
        weight_decay=SETTINGS.weight_decay, lr_scheduler_type="constant", max_grad_norm=0.0, eval_strategy="epoch",
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, seed=0, logging_strategy="no", **more,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, train_dataset=batches, eval_dataset=held, callbacks=[callback],
        optimizers=(optimizer_of(model), None),
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
    )  # fmt: skip
    return trainer, model


def test_the_trainer_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from foretoll.integrations.transformers import ForetollCallback

    data = task()
    own, callback = by_foretoll(data), ForetollCallback(target=data, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        trainer, model = trainer_of(data, tmp_path, callback)
        trainer.train()
    assert callback.run is not None
    check_same(callback.run.record, model.net.state_dict(), own)
    (kept,) = Ledger.open().runs()
    assert kept.evaluation is not None and kept.evaluation.duration_s > 0 and kept.settings.clip_norm is None


def test_the_trainer_stops_at_the_target_and_an_exception_is_recorded(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from foretoll.integrations.transformers import ForetollCallback

    data = task()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        callback = ForetollCallback(target=data, until=0.3, **QUIET)
        trainer, _ = trainer_of(data, tmp_path, callback)
        trainer.train()
        assert callback.run is not None and callback.run.record is not None
        assert (
            callback.run.record.steps == len(Batches(data)) and callback.run.record.outcome is Outcome.REACHED
        )
        failing = ForetollCallback(target=data, **QUIET)
        trainer, model = trainer_of(data, tmp_path, failing, gradient_accumulation_steps=2)
        model.net[0].register_forward_hook(fail_at(5))
        with pytest.raises(ValueError, match="mine"):
            trainer.train()
    assert failing.run is not None
    failing._close()  # what the end of the process does
    record = failing.run.record
    assert record is not None and record.outcome is Outcome.INTERRUPTED
    assert record.settings.accumulate == 2 and record.steps == 2


def fail_at(count: int) -> Any:
    seen = [0]

    def hook(*_: Any) -> None:
        seen[0] += 1
        if seen[0] >= count:
            raise ValueError("mine")

    return hook


def lightning_of(package: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return __import__(package, fromlist=["Trainer"])
    except ImportError:
        pytest.skip(f"{package} is not installed: pip install 'foretoll[lightning]'")


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning(package: str, tmp_path: Path) -> None:
    library = lightning_of(package)
    from foretoll.integrations.lightning import ForetollCallback

    data = task()
    own, batches = by_foretoll(data), Batches(data)

    class Module(library.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def training_step(self, batch: Any, _: int) -> Tensor:
            return F.cross_entropy(self.net(batch["x"]), batch["labels"])

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return optimizer_of(self)

    inputs, labels = next(data.validation.batches(10_000))
    held = torch.utils.data.TensorDataset(torch.as_tensor(inputs).float(), labels)
    module, callback = Module(), ForetollCallback(target=data, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = library.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[callback],
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, num_sanity_val_steps=1,
        )  # fmt: skip
        trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader(held, 10_000))
    assert callback.run is not None
    check_same(callback.run.record, module.net.state_dict(), own)


def test_accelerate() -> None:
    accelerate = pytest.importorskip("accelerate")
    from foretoll.integrations.accelerate import ForetollTracker

    data = task()
    own, batches, model = by_foretoll(data), Batches(data), net()
    optimizer = optimizer_of(model)
    tracker = ForetollTracker(model, optimizer, target=data, settings=TrainingSettings(max_epochs=2), **QUIET)
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(batches, batch_size=None))
    accelerator.init_trackers("mine", config={"lr": 1})
    for epoch in range(EPOCHS):
        for batch in loader:
            with accelerator.accumulate(model):
                accelerator.backward(F.cross_entropy(model(batch["x"]), batch["labels"]))
                optimizer.step()
                optimizer.zero_grad()
        accelerator.log({"accuracy": quality(model, data), "something": 3}, step=epoch)
    accelerator.end_training()
    check_same(tracker.tracker.record, model.state_dict(), own)
