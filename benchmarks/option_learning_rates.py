"""At how many times the common learning rate do the options train that train few weights? For docs/options.md.

    OMP_NUM_THREADS=1 python benchmarks/option_learning_rates.py    # some ten minutes on one core

Source models are trained on scikit-learn's digits to a validation accuracy of 0.95, then updated by `head`, `lora`
and `partial` for ten epochs at 1, 3, 10 and 30 times Adam's 0.001. A line of the output is one option in one case:
the best validation accuracy that any factor reached (mean of three seeds) and, for each factor, the median number of
epochs until it is within 0.02 of its seed's best ("-": not in ten epochs) and the accuracy at the end (mean).
"""

from __future__ import annotations

import sys
from statistics import mean, median

import torch

from foretoll.data import TaskData, open_data
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model
from foretoll.options import OPTIONS, train_to_target
from foretoll.records import EvalPoint, TrainingSettings
from foretoll.training import Recording

ARCHITECTURES = ("foretoll:cnn?width=12", "foretoll:vit?dim=32&depth=2", "foretoll:mlp")
CASES = {
    "gaussian_noise:0.3": ("digits", "digits?shift=gaussian_noise:0.3"),
    "contrast:0.3": ("digits", "digits?shift=contrast:0.3"),
    "new task": ("digits?classes=0,1,2,3,4", "digits?classes=5,6,7,8,9"),
}
FACTORS, SEEDS, MARGIN = (1.0, 3.0, 10.0, 30.0), (0, 1, 2), 0.02
CPU = torch.device("cpu")


def settings(**values: float) -> TrainingSettings:
    """Ten epochs of Adam at 0.001 in batches of 64."""
    return TrainingSettings.model_validate({"batch_size": 64, "max_epochs": 10, "lr": 1e-3, **values})


def trained(
    name: str, model: Model, data: TaskData, wanted: TrainingSettings, *, task: bool
) -> tuple[Model, Recording]:
    """The model after an option, with what the loop saw."""
    training = OPTIONS[name].start(model, data, wanted, task_shift=task, device=CPU)
    result = train_to_target(OPTIONS[name], training, wanted, meter=NoMeter())
    model = training.finish()
    model.network.requires_grad_(True)
    return model, result


def line(name: str, curves: dict[float, list[list[EvalPoint]]]) -> str:
    """What the factors came to: `curves` has one curve a seed for each factor."""
    best = [max(p.quality for f in FACTORS for p in curves[f][i]) for i in range(len(SEEDS))]
    parts = [f"{name:8} best {mean(best):.3f}"]
    for factor in FACTORS:
        epochs = median(
            next((p.epochs for p in curve if p.quality >= most - MARGIN), float("inf"))
            for curve, most in zip(curves[factor], best, strict=True)
        )
        shown = "-" if epochs == float("inf") else f"{epochs:.1f}"
        parts.append(f"x{factor:g}: {shown} epochs, {mean(c[-1].quality for c in curves[factor]):.3f}")
    return "; ".join(parts)


def main() -> int:
    """Print one line an option and case."""
    for arch in ARCHITECTURES:
        for case, (source, target) in CASES.items():
            before, after = open_data(source), open_data(target)
            curves: dict[str, dict[float, list[list[EvalPoint]]]] = {}
            for seed in SEEDS:
                wanted = settings(until=0.95, max_epochs=20, seed=seed)
                fresh = build_model(arch, data=before, seed=seed)
                model, _ = trained("finetune", fresh, before, wanted, task=False)
                for name in ("head", "lora", "partial"):
                    for factor in FACTORS:
                        own = OPTIONS[name].lr_factor  # the loop multiplies by it
                        update = settings(lr=1e-3 * factor / own, seed=seed)
                        _, result = trained(name, model, after, update, task=case == "new task")
                        curves.setdefault(name, {}).setdefault(factor, []).append(result.curve)
            for name, found in curves.items():
                print(f"{arch}, {case}: {line(name, found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
