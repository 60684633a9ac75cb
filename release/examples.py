"""Runs each file of examples/ and puts it beside what it printed, into docs/examples.md.

    python release/examples.py [name ...]        # all of them, or some: a minute or two

`tests/docs/test_examples.py` runs them with every change; `tests/docs/test_examples_page.py` says where the page shows
another text than the file.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from written import block, write

ROOT = Path(__file__).resolve().parents[1]
PAGE, NAME = "examples.md", "examples"
OUTPUT = re.compile(r"^## (\w+)\n.*?^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed(path: Path) -> str:
    """What an example prints, in an empty folder with a ledger of its own."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {
            "FORETOLL_LEDGER": str(Path(folder) / "ledger.db"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
        }
        done = subprocess.run(
            [sys.executable, str(path)], cwd=folder, env=env, check=False, capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"{path.name}\n{done.stderr[-3000:]}")
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def section(path: Path, output: str) -> str:
    """An example with its output: what its docstring says, the code below it, what it printed."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    said = ast.get_docstring(tree) or ""
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno or 0 :]).strip()
    return f"## {path.stem}\n\n{said}\n\n```python\n{code}\n```\n\nprints\n\n```text\n{output}```\n"


def main() -> None:
    """Run what is asked for; the others keep the output that the page has."""
    old = dict(OUTPUT.findall(block(PAGE, NAME)[1]))
    sections = []
    for path in sorted((ROOT / "examples").glob("*.py")):
        again = path.stem not in old if len(sys.argv) > 1 else True
        output = printed(path) if again or path.stem in sys.argv[1:] else old[path.stem]
        sections.append(section(path, output))
        print(path.stem, flush=True)
    write(PAGE, NAME, "\n".join(sections))


if __name__ == "__main__":
    main()
