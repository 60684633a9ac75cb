"""Language models and segmentation through every verb: what is said is in their metric, unit and direction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import foretoll
from foretoll import TrainingSettings
from foretoll.data import TaskData, open_data
from foretoll.decide.plan import Aims, plan_of
from foretoll.errors import UsageError
from foretoll.ledger import Ledger, read_runs, write_runs
from foretoll.models import Model, build_model
from foretoll.records import Comparison, Estimate, Outcome, Run, Shift
from foretoll.report import document_of, write_report
from foretoll.report.markdown import markdown
from foretoll.tasks import get_task
from foretoll.workflows.life import Life

PLAIN = foretoll.Accounting(energy="none", region="DE")
PROSE = "Simple is better than complex. Complex is better than complicated. Flat is better than nested. " * 8


@dataclass(frozen=True)
class Walk:
    """What a task is walked through with: its data, a network, a metric that is no share where there is one."""

    source: TaskData
    target: TaskData
    arch: str
    metric: str
    until: float
    goal: str
    outputs: str


def walk_of(task: str, folder: Path) -> Walk:
    if task == "language":
        for name, text in (("a.txt", PROSE), ("b.txt", PROSE.upper())):
            (folder / name).write_text(text)
        source, target = (open_data(f"text:{folder / name}?block=16") for name in ("a.txt", "b.txt"))
        goal, outputs = "perplexity 12 or less", "the next token of 256 to be predicted"
        arch = "foretoll:gpt?dim=8&depth=1&heads=2&context=16"
        return Walk(source, target, arch, "perplexity", 12.0, goal, outputs)
    x, _ = load_digits(return_X_y=True)
    pictures = (x.reshape(-1, 8, 8) * 15.9).astype(np.uint8)[:90]
    source = open_data((pictures, (pictures > 100).astype(np.int64)))
    target = source.shifted([Shift(kind="inversion", level=1.0)], seed=0)
    goal, outputs = "mean IoU 0.90", "2 classes of pixels"
    return Walk(source, target, "foretoll:unet?width=2", "mean_iou", 0.9, goal, outputs)


@pytest.fixture(params=["language", "segmentation"])
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> Walk:
    return walk_of(request.param, tmp_path)


@pytest.fixture
def model(walk: Walk) -> Model:
    return build_model(walk.arch, data=walk.source, seed=0)


@pytest.fixture
def plan(walk: Walk) -> TrainingSettings:
    return TrainingSettings(metric=walk.metric, max_epochs=1, evals_per_epoch=1, batch_size=32, lr=1e-2)


def page_of(folder: Path, **what: Estimate | Run | Comparison) -> str:
    """The Markdown of an answer, whose page in HTML is written and closed as well."""
    page = write_report(folder / "page.html", **what).read_text()  # type: ignore[arg-type]  # by its name
    assert page.rstrip().endswith("</html>")
    words = re.sub("</?span[^>]*>", "", page.lower())  # which say where a long word may be broken
    assert "accuracy" not in re.sub("(probe|knn|neighbour) accuracy", "", words)  # the names of indices
    return markdown(document_of(**what))  # type: ignore[arg-type]  # by its name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_comparison_is_in_the_tasks_own_words(
    walk: Walk, model: Model, plan: TrainingSettings, tmp_path: Path
) -> None:
    options = ["keep", "finetune", "distill"]
    found = foretoll.compare(
        model, walk.source, walk.target, options=options, until=walk.until, settings=plan, accounting=PLAIN
    )
    told = page_of(tmp_path, comparison=found)
    assert f"to {walk.goal} within 1 epoch" in told and "may miss it there" in told
    assert walk.outputs in told and "classes;" not in told.replace("classes of pixels;", "")
    why = {candidate.option: candidate.why_not for candidate in found.candidates}
    assert why["distill"] and not why["finetune"]
    aims = Aims.of(4, None, 0.5)
    if walk.metric == "perplexity":
        assert "reach 12 or less" in found.recommendation.reason
        with pytest.raises(UsageError, match="shares of right answers, and perplexity is none"):
            plan_of(found, aims)
    else:
        assert plan_of(found, aims).floor == 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_update_is_estimated_calibrated_carried_out_and_handed_on(
    walk: Walk, model: Model, plan: TrainingSettings, tmp_path: Path
) -> None:
    ledger = Ledger.open(tmp_path / "l.db")
    update = (model, walk.source, walk.target)
    common = {"until": walk.until, "settings": plan, "accounting": PLAIN, "ledger": ledger}
    calibrated = walk.metric != "perplexity"
    if not calibrated:
        with pytest.raises(UsageError, match="no graded shifts for text data"):
            foretoll.estimate(*update, calibrate_for="1runs", **common)  # type: ignore[arg-type]  # by their names
    told = foretoll.estimate(*update, calibrate_for="1runs" if calibrated else None, **common)  # type: ignore[arg-type]
    assert walk.goal in page_of(tmp_path, estimate=told)
    run = foretoll.retrain(*update, **common)  # type: ignore[arg-type]
    assert run.quality is not None and run.quality.metric == walk.metric
    assert walk.goal in page_of(tmp_path, estimate=told, run=run)
    write_runs(tmp_path / "runs.jsonl.gz", ledger.runs())
    again = read_runs(tmp_path / "runs.jsonl.gz")
    assert {one.target.task for one in again} == {walk.source.card.task} and len(again) == 1 + calibrated


def test_a_loop_of_ones_own_is_tracked(walk: Walk, plan: TrainingSettings, tmp_path: Path) -> None:
    network = build_model(walk.arch, data=walk.source, seed=0).network
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    task, ledger = get_task(walk.source.card.task), Ledger.open(tmp_path / "l.db")
    with foretoll.track(
        network, optimizer, source=walk.source, target=walk.target, until=walk.until, settings=plan,
        ledger=ledger, accounting=PLAIN, quiet=True, strict=True, steps_per_epoch=2, forecast=False,
    ) as run:  # fmt: skip
        for _ in range(2):
            inputs, labels = walk.target.train.take(torch.arange(16)).all()
            outputs = task.arranged(network(inputs if inputs.dtype == torch.int64 else inputs.float() / 255))
            optimizer.zero_grad()
            task.loss(outputs, labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        run.evaluate(250.0 if walk.metric == "perplexity" else 0.4)
    (done,) = ledger.runs()
    assert (done.steps, done.settings.metric, done.target.task) == (2, walk.metric, task.name)
    assert done.outcome is Outcome.CENSORED, "a perplexity of 250 is not 12 or less"
    assert walk.goal in page_of(tmp_path, run=done)


def test_a_life_says_why_not(walk: Walk, model: Model, tmp_path: Path) -> None:
    begin = {
        "source": walk.source,
        "floor": 0.5,
        "ledger": Ledger.open(tmp_path / "l.db"),
        "folder": tmp_path / "life",
    }
    title = get_task(walk.source.card.task).title
    for metric in ("accuracy", walk.metric, "token_accuracy"):
        with pytest.raises(
            UsageError,
            match=f"compares one answer a sample, and this model is of {title}, with an answer at each",
        ):
            Life.start("shop", model, settings=TrainingSettings(metric=metric), **begin)  # type: ignore[arg-type]
    assert not (tmp_path / "life").exists()
