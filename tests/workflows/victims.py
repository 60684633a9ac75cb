"""Retrains one small job again and again in processes that are killed at random moments.

Started by test_kill.py as a process of its own with one thread: it loads torch once and forks, so that a kill
costs a second and not the loading of a deep-learning library.

    python victims.py FOLDER SEED KILLS
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from foretoll import cli

JOB = (
    "retrain --model m --source npz:old.npz --target npz:new.npz --until 0.9999 --max-epochs 60 --batch-size 16 "
    "--energy watts:10 --region DE --quiet --out {out}"
)


def call(command: str) -> int:
    """The command line in this process; its exit code."""
    sys.argv = ["foretoll", *command.split()]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 1


def write_data() -> None:
    """Two sets of samples whose classes overlap, so that the target quality is out of reach."""
    draw = np.random.default_rng(0)
    labels = np.arange(300) % 3
    for name, offset in (("old", 0.0), ("new", 0.5)):
        samples = draw.normal(size=(300, 6)).astype(np.float32)
        samples[np.arange(300), labels] += 1.5
        np.savez(f"{name}.npz", x=samples + offset, y=labels)


def main() -> None:
    """Train a source model, carry the job out once to see how long it takes, then kill it so many times."""
    folder, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    os.chdir(folder)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  (for all that follows)
    write_data()
    assert (
        call(
            "train --arch foretoll:mlp?width=64 --data npz:old.npz --out m --max-epochs 3 --energy none --quiet"
        )
        == 0
    )
    call(JOB.format(out="warm"))  # everything is loaded from here on
    began = time.time()
    assert call(JOB.format(out="whole")) == 0
    lasts = time.time() - began
    run = json.loads(Path("whole/run.json").read_text())
    starts = datetime.fromisoformat(run["started_at"]).timestamp() - began
    moments = random.Random(seed)
    for kill in range(kills):
        # half of them at any moment, half of them while the run is in the ledger without an end
        wait = moments.uniform(0, lasts) if kill % 2 else moments.uniform(starts, lasts)
        child = os.fork()
        if child == 0:
            os._exit(call(JOB.format(out=f"killed-{kill}")))
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
