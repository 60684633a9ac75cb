"""`estimate` asked for several targets and budgets: one look, one pilot, one distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

import foretoll
from foretoll.errors import UsageError
from foretoll.records import Estimate
from foretoll.report import read_estimate

from .conftest import Call

QUIET = "--energy watts:30 --region DE --quiet"
DATA = "--source 'digits?part=1/2&limit=300' --target 'digits?part=2/2&limit=300&shift=gaussian_noise:0.3'"


@pytest.fixture
def model(call: Call) -> str:
    """A network that knows the digits a little."""
    done = call("train --arch foretoll:cnn?width=8 --data 'digits?part=1/2&limit=300' --out src --max-epochs 6 "
                f"--batch-size 32 --lr 0.01 {QUIET}")  # fmt: skip
    assert done.code == 0, done.err
    return "src"


def test_targets_and_budgets_agree_with_the_forecast_and_with_each_other(call: Call, model: str) -> None:
    asked = "--until 0.8,0.6,0.95 --for 5epochs,1000kWh --for 2s --also head"
    done = call(f"estimate --model {model} {DATA} {asked} --json --out est {QUIET}")
    assert (done.code, done.err) == (0, "")
    found = Estimate.model_validate(done.data)
    assert read_estimate("est/estimate.json") == found and found.until == 0.8
    assert set(found.curves) == {"finetune", "head"}
    assert [(a.until, a.option) for a in found.targets] == [
        (target, option) for target in (0.8, 0.6, 0.95) for option in ("finetune", "head")
    ]
    own = {a.until: a for a in found.targets if a.option == "finetune"}
    for cost in ("epochs", "duration_s", "energy_kwh", "emissions_kg"):
        assert getattr(own[0.8].forecast, cost) == getattr(found.forecast, cost)
        ends = [getattr(own[target].forecast, cost).high for target in (0.6, 0.8, 0.95)]
        assert ends == sorted(ends)
    assert own[0.8].reach_probability == found.reach_probability
    reach = [own[target].reach_probability for target in (0.6, 0.8, 0.95)]
    assert reach == sorted(reach, reverse=True)

    budgets = {(a.budget, a.option): a for a in found.budgets}
    assert len(budgets) == len(found.budgets) == 6
    everything = budgets["1000 kWh", "finetune"]
    assert everything.whole and everything.reach_probability == found.reach_probability
    some = budgets["5 epochs", "finetune"]
    assert some.quality is not None and everything.quality is not None and not some.whole
    for end in ("low", "median", "high"):
        assert getattr(some.quality, end) <= getattr(everything.quality, end)
    assert some.reach_probability is not None and some.reach_probability <= found.reach_probability  # type: ignore[operator]

    page = Path("est/report.html").read_text("utf-8")
    markdown = Path("est/report.md").read_text("utf-8")
    for text in ("Quality against energy", "1000 kWh", "accuracy 0.95"):
        assert text in page.replace("\N{NO-BREAK SPACE}", " ") and text in markdown


def test_the_terminal_says_it_in_words(call: Call, model: str) -> None:
    done = call(f"estimate --model {model} {DATA} --until 0.7,0.9 --for 30min --out est {QUIET}")
    assert (done.code, done.err) == (0, "")
    for text in ("Targets", "accuracy 0.90", "Budgets", "30 min", "best validation accuracy"):
        assert text in done.out, done.out
    alone = call(f"estimate --model {model} {DATA} --until 0.9 --worth 2s --out one {QUIET}")
    assert "Targets" not in alone.out and "Budgets" not in alone.out and "Worth it" not in done.out
    assert "Worth it" in alone.out and "at 2 s for one more right answer" in " ".join(alone.out.split())
    assert "Worth it" in Path("one/report.md").read_text("utf-8")
    found = read_estimate("one/estimate.json")
    paid, time, after = found.payback, found.forecast.duration_s, found.expected_quality
    assert paid is not None and paid.answers is not None and paid.gain is not None, paid
    assert time is not None and after is not None and paid.before is not None
    assert (paid.worth, paid.cost, paid.amount) == ("2 s", "duration_s", 2.0)
    assert paid.gain.median == pytest.approx(after.median - paid.before) and paid.gain.median > 0  # type: ignore[operator]
    assert paid.answers.median == pytest.approx(time.median / (2.0 * paid.gain.median))  # type: ignore[operator]
    assert paid.answers.low == pytest.approx(time.low / (2.0 * paid.gain.high))  # type: ignore[operator]


def test_python_asks_in_the_same_words_and_refuses_the_same(call: Call, model: str) -> None:
    old, new = "digits?part=1/2&limit=300", "digits?part=2/2&limit=300&shift=gaussian_noise:0.3"
    found = foretoll.estimate(
        model, old, new, until=[0.7, 0.9], budgets="5epochs", worth="1EUR", option="keep",
        accounting=foretoll.Accounting(energy="watts:30", region="DE", price="0.3EUR/kWh"),
    )  # fmt: skip
    kept = found.payback
    assert kept is not None and kept.answers is not None and (kept.cost, kept.amount) == ("money", 1.0)
    assert kept.answers.low is kept.answers.median is kept.answers.high is None  # it stays as it is
    assert found.until == 0.7 and found.curves == {}
    easy, hard = found.targets  # known by looking: no step is taken
    assert (
        easy.reach_probability == found.reach_probability and hard.reach_probability <= easy.reach_probability
    )
    assert easy.forecast.epochs == found.forecast.epochs and easy.forecast.epochs.high == 0  # type: ignore[union-attr]
    [answer] = found.budgets
    assert answer.quality is None and "no training step" in answer.why_not
    with pytest.raises(UsageError, match="is no quality"):
        foretoll.estimate(model, old, new, until=[0.7, 1.7])
    with pytest.raises(UsageError, match="is no budget"):
        foretoll.estimate(model, old, new, budgets=["a lot"])
    with pytest.raises(UsageError, match="21 targets"):
        foretoll.estimate(model, old, new, until=[n / 100 for n in range(50, 71)])
    with pytest.raises(UsageError, match="is no worth"):
        foretoll.estimate(model, old, new, worth="1EUR")
