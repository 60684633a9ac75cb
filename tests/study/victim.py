"""Loads everything once, then for each folder on its input forks a child that carries out the tiny study there.

Says the child's process group, and then how the child ended. Nothing of the study is computed before the fork.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import sklearn.datasets  # noqa: F401  (loaded here once, and not in each child)
import torch

from .carrying import carry_out

STOPPED = 130  # by Ctrl-C


def main() -> None:
    torch.set_num_threads(1)
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]).step()  # loads what torch itself loads late
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            code = STOPPED
            with contextlib.suppress(KeyboardInterrupt):
                code = 1 if carry_out(Path(line.strip())).failures else 0
            os._exit(code)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
