"""Runs in MLflow, Weights & Biases and TensorBoard: what was logged can be read back by their own means."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from foretoll import cli
from foretoll.errors import MissingExtraError
from foretoll.integrations import loggers
from foretoll.ledger import Ledger
from foretoll.records import Run
from tracking.loops import Loop


def tracked(**how: Any) -> Run:
    _, run, _ = Loop().run({"steps_per_epoch": 6, **how})
    assert run is not None and run.record is not None
    return run.record


def test_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger = loggers.MlflowLogger(uri)
        run = tracked(loggers=[logger], strict=True)
        client = logger._client
        (found,) = client.search_runs([client.get_experiment_by_name("foretoll").experiment_id])
        curve = client.get_metric_history(found.info.run_id, "accuracy")
    assert found.info.run_name == run.id and found.info.status == "FINISHED"
    assert found.data.params["optimizer"] == "adamw" and float(found.data.params["lr"]) == run.settings.lr
    assert found.data.metrics["toll/energy_kwh"] == pytest.approx(run.toll.energy_kwh)
    assert [(m.step, m.value) for m in curve] == [(p.step, pytest.approx(p.quality)) for p in run.curve]


def test_a_retraining_from_the_command_line_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    words = (
        "retrain -m foretoll:cnn?width=2 -s digits?limit=60 -t digits?limit=60&shift=contrast:0.4 -o head "
        "--max-epochs 1 --until 1 --energy none --mlflow --quiet --json"
    )
    monkeypatch.setattr(sys, "argv", ["foretoll", *words.split()])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        warnings.simplefilter("ignore")
        cli.main()
    assert not ended.value.code
    client = tracking.MlflowClient(tracking_uri=uri)
    (found,) = client.search_runs([client.get_experiment_by_name("foretoll").experiment_id])
    (run,) = Ledger.open().runs()
    assert found.info.run_name == run.id and found.data.metrics["test/after"] == pytest.approx(
        run.quality.after if run.quality else None
    )


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tracked(loggers=[loggers.TensorBoardLogger(tmp_path)], strict=True)
    events = EventAccumulator(str(tmp_path / run.id)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("accuracy")] == [
        (p.step, pytest.approx(p.quality)) for p in run.curve
    ]
    assert events.Scalars("toll/duration_s")[0].value == pytest.approx(run.toll.duration_s)


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger = loggers.WandbLogger(folder=tmp_path)
        run = tracked(loggers=[logger], strict=True)
    assert logger._run.config["optimizer"] == "adamw"
    wandb.teardown()  # its own process writes the file, and is waited for
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()  # protocol buffers, with names and numbers as JSON text
    for name, value in [
        ("toll/energy_kwh", run.toll.energy_kwh),
        *(("accuracy", p.quality) for p in run.curve),
    ]:
        assert name.encode() in content and json.dumps(value).encode() in content, name
    assert run.id.encode() in content


WANTED = {
    "mlflow.tracking": loggers.MlflowLogger,
    "wandb": loggers.WandbLogger,
    "torch.utils.tensorboard": loggers.TensorBoardLogger,
}


@pytest.mark.parametrize(("module", "make"), WANTED.items(), ids=WANTED)
def test_what_is_missing_is_said(module: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r'pip install "foretoll\['):
        make()


@pytest.mark.parametrize("module", ["transformers", "accelerate"])
def test_a_callback_whose_library_is_missing_says_so(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"foretoll.integrations.{module}", raising=False)
    with pytest.raises(MissingExtraError, match=r'pip install "foretoll\['):
        importlib.import_module(f"foretoll.integrations.{module}")


def test_a_logger_that_fails_costs_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def log_run(self, *_: Any) -> None:
            raise ConnectionError("the server is gone")

    run = tracked(loggers=[Broken()])
    assert run.steps == 12 and "logging the run elsewhere failed" in capsys.readouterr().err
