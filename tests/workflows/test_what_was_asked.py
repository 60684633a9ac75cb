"""Answers name what was asked: program, mapping and optimiser, the student, the part that trains."""

from __future__ import annotations

from pathlib import Path

import pytest

import foretoll
from foretoll.data import open_data
from foretoll.ledger import Ledger
from foretoll.models import build_model
from foretoll.options import get_option
from foretoll.records import Run, TrainingSettings
from foretoll.report import comparison_table, estimate_table, ledger_table, run_table
from foretoll.report.markdown import markdown
from foretoll.report.terminal import as_text
from foretoll.report.update_document import update_document

OLD, NEW = "digits?part=1/2&limit=200", "digits?part=2/2&limit=200&shift=gaussian_noise:0.2"
# a target that is met from the beginning: nothing has to be learned from runs
SETTINGS = TrainingSettings(until=0.02, max_epochs=0.5, batch_size=32, evals_per_epoch=1)
SPSA = "reprogram?program=pad&mapping=linear&optimiser=spsa_gc"


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("finetune", {}),
        ("reprogram", {"program": "full", "mapping": "identity"}),
        (SPSA, {"program": "pad", "mapping": "linear", "optimiser": "spsa_gc"}),
        ("partial", {"from": "blocks.3.0"}),
        (
            "distill?student=foretoll:cnn?width=4",
            {"student": "foretoll:cnn?width=4", "temperature": "2.0", "share": "0.5"},
        ),
        ("distill", {"student": "foretoll:cnn?width=8", "temperature": "2.0", "share": "0.5"}),
    ],
)
def test_an_option_says_what_it_does_to_a_model_for_a_target(option: str, known: dict[str, str]) -> None:
    target = open_data(NEW)
    model = build_model("foretoll:cnn?width=4", data=target, seed=0)
    assert get_option(option).settings_for(model, target, task_shift=False) == known


def test_a_new_task_has_a_mapping_and_a_teacher_of_its_own() -> None:
    source, target = (open_data(f"digits?classes={names}&limit=200") for names in ("0,1,2", "3,4,5,6"))
    model = build_model("foretoll:cnn?width=4", data=source, seed=0)
    found = {
        name: get_option(name).settings_for(model, target, task_shift=True)
        for name in ("reprogram", "distill")
    }
    assert found["reprogram"]["mapping"] == "bayesian"
    assert (found["distill"]["teacher"], found["distill"]["teacher_epochs"]) == ("finetune", "3")


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("asked")
    given = {
        "ledger": folder / "ledger.db",
        "accounting": foretoll.Accounting(energy="none", region="DE"),
        "settings": SETTINGS,
    }
    foretoll.train("foretoll:cnn?width=4", OLD, out=folder / "source", **given)  # type: ignore[arg-type]
    return {"folder": folder, **given}


def test_estimate_run_and_ledger_name_program_mapping_and_optimiser(common: dict[str, object]) -> None:
    given = {k: v for k, v in common.items() if k != "folder"}
    source = Path(str(common["folder"])) / "source"
    run = foretoll.retrain(source, OLD, NEW, option=SPSA, **given)  # type: ignore[arg-type]
    assert run.option_settings == {"program": "pad", "mapping": "linear", "optimiser": "spsa_gc"}
    ledger = Ledger.open(common["ledger"])  # type: ignore[arg-type]
    assert ledger.get(run.id) == run
    plain = foretoll.estimate(source, OLD, NEW, **given)  # type: ignore[arg-type]
    assert plain.option_settings == {}
    asked = {"option": "reprogram", "option_settings": run.option_settings, "settings": run.settings}
    estimate = plain.model_copy(update=asked)
    arch, uri = run.model.arch, run.target.uri
    for name in ("reprogram", "reprogram?program=pad", SPSA):
        assert estimate.is_for(name, arch, uri, run.settings)
    assert not estimate.is_for("reprogram?program=full", arch, uri, run.settings)
    texts = [
        as_text(estimate_table(estimate), width=120),
        as_text(run_table(run), width=120),
        as_text(ledger_table([run]), width=80),
        markdown(update_document(estimate, run)),
    ]
    for text in texts:
        assert "program pad" in text and "mapping linear" in text, text
    for text in (*texts[:2], texts[3]):
        assert "spsa_gc (by outputs alone)" in text.replace("\\", "") and "adam at" not in text, text


def test_a_comparison_names_them(common: dict[str, object]) -> None:
    given = {k: v for k, v in common.items() if k != "folder"}
    source = Path(str(common["folder"])) / "source"
    options = ["reprogram?program=pad", "keep"]
    found = foretoll.compare(source, OLD, NEW, options=options, **given)  # type: ignore[arg-type]
    assert [c.option_settings.get("program") for c in found.candidates] == ["pad", None]
    text = " ".join(as_text(comparison_table(found), width=120).split())
    assert "reprogram with program pad" in text and "program=pad" not in text


def test_an_older_record_has_none_and_is_read(common: dict[str, object]) -> None:
    run = Ledger.open(common["ledger"]).select(limit=1).runs[0]  # type: ignore[arg-type]
    data = run.model_dump(mode="json", by_alias=True)
    del data["option_settings"]
    assert Run.model_validate(data).option_settings == {}
