"""One small training by each library that has a callback: its weights at the end."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from tracking.loops import ACCOUNTING, accuracy, adamw, blobs, network

Training = Callable[[], list[Tensor]]
BATCH, EPOCHS = 20, 2


def _how() -> dict[str, Any]:
    return {"target": (blobs(), blobs(60)), "forecast": False, "quiet": True, "accounting": ACCOUNTING}


def by_transformers() -> list[Tensor]:
    """The Trainer of transformers, which shuffles and evaluates by itself."""
    from transformers import Trainer, TrainingArguments

    from foretoll.integrations.transformers import ForetollCallback

    model = _WithLoss()
    rows = [{"x": x, "labels": y} for x, y in blobs()]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, eval_strategy="epoch",
            save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, seed=0, logging_strategy="no",
        )  # fmt: skip
        Trainer(
            model, arguments, train_dataset=rows, eval_dataset=rows, optimizers=(adamw(model), None),
            callbacks=[ForetollCallback(**_how())],
            compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
        ).train()  # fmt: skip
    return list(model.net.state_dict().values())


class _WithLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def by_lightning() -> list[Tensor]:
    """The Trainer of Lightning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        from lightning.pytorch import LightningModule, Trainer

        from foretoll.integrations.lightning import ForetollCallback

        class Module(LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = network()

            def training_step(self, batch: Any, _: int) -> Tensor:
                return F.cross_entropy(self.net(batch[0]), batch[1])

            def validation_step(self, batch: Any, _: int) -> None:
                self.log("val_acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

            def configure_optimizers(self) -> Any:
                return adamw(self)

        module = Module()
        trainer = Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[ForetollCallback(**_how())],
        )  # fmt: skip
        trainer.fit(module, DataLoader(blobs(), BATCH, shuffle=True), DataLoader(blobs(60), 60))
    return list(module.net.state_dict().values())


def by_accelerate() -> list[Tensor]:
    """A loop with accelerate."""
    from accelerate import Accelerator

    from foretoll.integrations.accelerate import ForetollTracker

    model = network()
    optimizer = adamw(model)
    accelerator = Accelerator(cpu=True, log_with=ForetollTracker(model, optimizer, **_how()))
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(blobs(), BATCH, shuffle=True))
    accelerator.init_trackers("mine")
    for epoch in range(EPOCHS):
        for inputs, labels in loader:
            accelerator.backward(F.cross_entropy(model(inputs), labels))
            optimizer.step()
            optimizer.zero_grad()
        accelerator.log({"accuracy": accuracy(model, blobs(60))}, step=epoch)
    accelerator.end_training()
    return list(model.state_dict().values())


# By the room of the callback: what must be installed, and a training with it.
TRAININGS: dict[str, tuple[str, Training]] = {
    "transformers": ("transformers", by_transformers),
    "lightning": ("lightning", by_lightning),
    "accelerate": ("accelerate", by_accelerate),
}
