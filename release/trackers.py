"""Shows what a run looks like in MLflow, TensorBoard, an offline folder of Weights & Biases and a model card.

    make tracker-pictures        # or: python release/trackers.py

Trains twice on the digits that come with scikit-learn under `foretoll.track`, with all loggers, serves what they
wrote on 127.0.0.1, and writes docs/img/mlflow.png, docs/img/tensorboard.png and the blocks of docs/trackers.md.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import foretoll
from browser import Browser, View
from foretoll.integrations.loggers import MlflowLogger, TensorBoardLogger, WandbLogger
from foretoll.records import Run
from pages import ROOT
from written import write

IMAGES = ROOT / "docs" / "img"
PAGE = "trackers.md"
VIEW = View("light", width=1200, height=2400)  # so tall that nothing has to be scrolled
HEIGHT = 760
COLOURS = 64  # of a palette: pages are flat
MOST_BYTES = 150_000
WAIT_S = 120.0
RATES = (0.003, 0.0005)
ASSISTANT = "[data-component-id='mlflow.assistant.chat_panel.close']"
"""Closes what opens unasked beside a page of MLflow."""


def trained(folder: Path) -> list[Run]:
    """The runs of the same loop at two learning rates, in every tracker below `folder`."""
    torch.manual_seed(0)
    pixels, digits = (torch.tensor(part) for part in load_digits(return_X_y=True))
    images = pixels.float().div(16).view(-1, 1, 8, 8)
    moved = (torch.roll(images, 1, dims=3) + 0.2 * torch.randn_like(images)).clamp(0, 1)
    old = TensorDataset(images[:900], digits[:900])
    loader = DataLoader(TensorDataset(moved[900:1500], digits[900:1500]), 32, shuffle=True)
    inputs, labels = moved[1500:], digits[1500:]
    test = TensorDataset(inputs, labels)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )
    _epochs(model, torch.optim.Adam(model.parameters(), lr=0.003), DataLoader(old, 32, shuffle=True), 5)
    deployed = {name: value.clone() for name, value in model.state_dict().items()}
    loggers = [
        MlflowLogger(f"sqlite:///{folder / 'mlflow.db'}"),
        TensorBoardLogger(folder / "runs"),
        WandbLogger(folder=folder),
    ]
    found = []
    for rate in RATES:
        model.load_state_dict(deployed)
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        with foretoll.track(
            model, optimizer, source=old, target=(loader, test), until=0.85,
            accounting=foretoll.Accounting(region="DE"), ledger=folder / "ledger.db", loggers=loggers, strict=True,
        ) as run:  # fmt: skip
            for _ in range(20):
                _epochs(model, optimizer, loader, 1)
                with torch.no_grad():
                    accuracy = (model.eval()(inputs).argmax(1) == labels).float().mean().item()
                if run.evaluate(accuracy):
                    break
        assert run.record is not None
        found.append(run.record)
    return found


def _epochs(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[object], count: int
) -> None:
    model.train()
    for _ in range(count):
        for inputs, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()


@contextmanager
def served(program: str, *words: str, folder: Path) -> Iterator[str]:
    """A server of this environment on a free port of 127.0.0.1, as its address; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name(program)),
        *words,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / f"{program}.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + WAIT_S
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    raise SystemExit(
                        f"{program} does not answer: {(folder / log.name).read_text()}"
                    ) from None
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # with its workers; nothing is written any more
        server.wait(timeout=30)


def shown(browser: Browser, address: str, *, until: str, name: str, top: str = "") -> None:
    """The page as docs/img/NAME.png, taken when it shows each of these words (parted by |); from `top` on."""
    browser.open(address, VIEW)
    words = " && ".join(f"all.includes({word!r})" for word in until.split("|"))
    # what stands within components of their own is no text of the document
    script = f"""(() => {{ let all = "";
        const read = node => {{ all += node.textContent || "";
            node.querySelectorAll("*").forEach(e => {{ if (e.shadowRoot) read(e.shadowRoot); }}); }};
        read(document.body); return {words}; }})()"""
    end = time.monotonic() + WAIT_S
    while not browser.value(script):
        browser.value(f"document.querySelectorAll({ASSISTANT!r}).forEach(b => b.click())")
        if time.monotonic() > end:
            raise SystemExit(
                f"{name} does not show {until}: {browser.value('document.body.innerText')[:500]}"
            )
        time.sleep(1)
    time.sleep(3)  # charts are drawn after their names
    picture = Image.open(io.BytesIO(browser.picture(VIEW.height))).convert("RGB")
    left, upper = 0, 0
    if top:
        place = browser.value(
            "(e => [e.left, e.top])([...document.querySelectorAll('h4')].find("
            f"e => e.textContent.startsWith({top!r})).getBoundingClientRect())"
        )
        left, upper = (max(round(value) - 20, 0) for value in place)
    picture = picture.crop((left, upper, picture.width, upper + HEIGHT))
    file = IMAGES / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)}: {size / 1000:.0f} kB, {picture.width} × {picture.height}")
    if size > MOST_BYTES:
        raise SystemExit(f"{file.name} is larger than {MOST_BYTES:,} bytes")


def listing(folder: Path) -> str:
    """What an offline run of Weights & Biases leaves, with the names of runs as they may be."""
    (first, *_) = sorted((folder / "wandb").glob("offline-run-*"))
    files = [path for path in sorted(first.rglob("*")) if path.is_file()]
    lines = [f"{path.relative_to(folder)}  {path.stat().st_size:,} bytes" for path in files]
    return "```text\n" + "\n".join(lines) + "\n```"


def main() -> None:
    """Train, serve, look, write."""
    with tempfile.TemporaryDirectory(prefix="foretoll-") as at:
        folder = Path(at)
        os.environ |= {"WANDB_CONFIG_DIR": f"{folder}/config", "WANDB_CACHE_DIR": f"{folder}/cache"}
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = trained(folder)
        store = f"sqlite:///{folder / 'mlflow.db'}"
        with Browser() as browser:
            with served(
                "mlflow", "ui", "--workers", "1", "--backend-store-uri", store, folder=folder
            ) as address:
                client = MlflowLogger(store)._client
                number = client.get_experiment_by_name("foretoll").experiment_id
                found = {run.info.run_name: run.info.run_id for run in client.search_runs([number])}
                run_id = found[runs[0].id]
                page = f"{address}/#/experiments/{number}/runs/{run_id}"
                shown(
                    browser, page, until="accuracy|toll/energy_kwh|optimizer", name="mlflow", top="Metrics ("
                )
            with served("tensorboard", "--logdir", "runs", folder=folder) as address:
                page = f"{address}/?darkMode=false#timeseries"
                shown(browser, page, until="accuracy|forecast", name="tensorboard")
        import wandb

        wandb.teardown()  # its own process writes the files, and is waited for
        write(PAGE, "offline run", listing(folder))
        write(PAGE, "card", f"```markdown\n{foretoll.log_model_card(runs[0]).strip()}\n```")


if __name__ == "__main__":
    main()
