"""What exports, JSON and pages tell of a machine: nothing that they need not, and nothing at all on request."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from foretoll import sharing
from foretoll.forecast.case import case_of_run
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger, read_runs
from foretoll.records import Hardware, Run
from foretoll.report import write_json, write_report
from foretoll.sharing import anonymous, short_text, shortened, told_apart

from .making import ended, make_run

HERE, HOME, HOST = "/data/work", "/home/alice", "lab-7.example.org"
KERNEL = "Linux-6.1.0-18-cloud-amd64-x86_64-with-glibc2.36"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(sharing, "_here", lambda: HERE)
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    sharing._own_names.cache_clear()


def a_run(**changes: object) -> Run:
    run = ended(
        make_run("r1", tags=("t",)),
        checkpoint=f"{HERE}/out/new",
        reason=f"{HOST}: alice may not read {HOME}/x.pt",
    )
    card = run.model.model_copy(
        update={"arch": f"hf:{HOME}/models/bert", "trained_on": f"npz:{HERE}/data/old.npz?limit=100"}
    )
    target = run.target.model_copy(
        update={
            "uri": f"torchvision:MNIST?root={HOME}/torch&limit=9",
            "notes": (f"left out: {HERE}/data/.x",),
        }
    )
    hardware = Hardware(
        device="cpu",
        device_name="EPYC",
        cpu="EPYC",
        cores=2,
        memory_gb=8,
        platform=KERNEL,
        torch="2.7",
        threads=1,
    )
    update = {"model": card, "target": target, "hardware": hardware, "source": target, **changes}
    return run.model_copy(update=update)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (f"{HERE}/out/new", "out/new"),
        (HERE, "."),
        (HOME, "~"),
        (f"npz:{HERE}/a b/x.npz?limit=3", "npz:a b/x.npz?limit=3"),
        (f"hf:{HOME}/m", "hf:~/m"),
        (f"cannot read '{HOME}/x' or {HERE}/y: no", "cannot read '~/x' or y: no"),
        (f"{HOME}2/x", f"{HOME}2/x"),
        (f"/mnt{HERE}/x", f"/mnt{HERE}/x"),
        ("digits?shift=contrast:0.4", "digits?shift=contrast:0.4"),
    ],
)
def test_paths_are_named_from_here_or_from_home(text: str, short: str) -> None:
    assert short_text(text) == short


def test_the_usual_form_shortens_paths_and_changes_nothing_else() -> None:
    run = shortened(a_run())
    assert (run.checkpoint, run.model.arch, run.model.trained_on) == (
        "out/new",
        "hf:~/models/bert",
        "npz:data/old.npz?limit=100",
    )
    assert run.target.uri == "torchvision:MNIST?root=~/torch&limit=9"
    assert run.toll == a_run().toll and run.curve == a_run().curve and run.hardware == a_run().hardware
    plain = ended(make_run("r1"))
    assert shortened(plain) is plain


def test_the_anonymous_form_tells_nothing_of_the_machine() -> None:
    run = anonymous(a_run())
    text = run.model_dump_json()
    for secret in (HERE, HOME, "alice", HOST, "lab-7", "6.1.0", "glibc"):
        assert secret not in text, secret
    assert run.checkpoint is None and run.model.arch == "hf:bert"
    assert (
        run.model.trained_on == "npz:old.npz?limit=100"
        and run.target.uri == "torchvision:MNIST?root=torch&limit=9"
    )
    assert run.hardware is not None and (run.hardware.platform, run.hardware.cpu) == ("Linux", "EPYC")
    assert run.reason == "…: … may not read x.pt"
    assert anonymous(run) == run, "once is enough"
    assert told_apart(run) == told_apart(shortened(a_run())) == told_apart(a_run())
    known, told = a_run(), {"toll", "curve", "signals", "settings", "quality", "started_at", "tags", "id"}
    assert run.model_dump(include=told) == known.model_dump(include=told)


def test_exports_json_and_pages(tmp_path: Path) -> None:
    run = a_run()
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.finish(run)
    ledger.export(tmp_path / "usual.jsonl")
    ledger.export(tmp_path / "anonymous.jsonl", anonymous=True)
    write_json(tmp_path / "run.json", run)
    write_report(tmp_path / "page.html", run=run)
    write_report(tmp_path / "anonymous.html", run=anonymous(run))
    for name in ("usual.jsonl", "run.json", "page.html"):
        text = (tmp_path / name).read_text()
        assert HERE not in text and HOME not in text, name
    for name in ("anonymous.jsonl", "anonymous.html"):
        text = (tmp_path / name).read_text()
        for secret in (HERE, HOME, "alice", HOST, "6.1.0", str(tmp_path)):
            assert secret not in text, (name, secret)
    for name in ("usual.jsonl", "anonymous.jsonl"):  # the same run, however it is told
        assert ledger.import_(tmp_path / name) == 0
    other = Ledger(tmp_path / "other.db")
    assert other.import_(tmp_path / "anonymous.jsonl") == 1 and other.import_(tmp_path / "usual.jsonl") == 0
    assert ledger.get("r1") == run


def test_fields_of_a_newer_foretoll_are_not_in_an_anonymous_export(tmp_path: Path) -> None:
    line = a_run().model_dump_json(by_alias=True).replace('"steps":8', f'"steps":8,"owner":"{HOME}/me"')
    (tmp_path / "in.jsonl").write_text(line + "\n")
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.import_(tmp_path / "in.jsonl")
    ledger.export(tmp_path / "usual.jsonl")
    assert json.loads((tmp_path / "usual.jsonl").read_text())["owner"] == "~/me"
    ledger.export(tmp_path / "anonymous.jsonl", anonymous=True)
    assert "owner" not in (tmp_path / "anonymous.jsonl").read_text()


def test_forecasts_from_an_anonymous_ledger_are_the_same(tmp_path: Path) -> None:
    ours = [
        run.model_copy(
            update={
                "id": f"own-{i}",
                "checkpoint": f"{HOME}/{i}",
                "target": run.target.model_copy(update={"uri": f"npz:{HOME}/{run.target.name}.npz"}),
            }
        )
        for i, run in enumerate(run for run in reference_runs() if run.option == "head" and case_of_run(run))
        if i < 12
    ]
    ledger = Ledger(tmp_path / "ledger.db")
    for run in ours:
        ledger.finish(run)
    ledger.export(tmp_path / "anonymous.jsonl", anonymous=True)
    shared = read_runs(tmp_path / "anonymous.jsonl")
    assert [case_of_run(run) for run in shared] == [
        case_of_run(run) for run in ledger.runs(newest_first=False)
    ]
    read = {"toll", "curve", "outcome", "settings", "energy", "steps", "id"}  # besides, by a forecaster
    for run, told in zip(ledger.runs(newest_first=False), shared, strict=True):
        assert run.model_dump(include=read) == told.model_dump(include=read)
