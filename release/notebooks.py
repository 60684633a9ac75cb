"""The examples as notebooks: each script of examples/ is the source of one.

    make notebooks                          # writes examples/notebooks, without outputs
    python release/notebooks.py --check     # only says whether they are up to date, exit 1 if not
    python release/notebooks.py --execute   # runs them, into build/notebooks, for the pages of the docs

A script is in the percent format, which editors show as cells. Each notebook is run by a kernel of its own, in a folder
of its own, with a ledger of its own. One that was executed is kept until its script, or foretoll, is newer.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = ROOT / "examples" / "notebooks"
EXECUTED = ROOT / "build" / "notebooks"
LANGUAGE = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook(script: Path) -> NotebookNode:
    """The notebook of a script, without outputs; the same for the same script."""
    made = jupytext.read(script, fmt="py:percent")
    made.metadata = nbformat.from_dict(LANGUAGE | {"language_info": {"name": "python"}})
    for number, cell in enumerate(made.cells, 1):
        cell.id, cell.metadata = f"{script.stem}-{number}", NotebookNode()
    return made


def text(made: NotebookNode) -> str:
    """A notebook as its file is written. ValidationError where it is none."""
    nbformat.validate(made)
    return nbformat.writes(made) + "\n"


def stale() -> dict[Path, str]:
    """The notebooks that are not those of their scripts, with what they should be; empty: one of no script."""
    wanted = {NOTEBOOKS / f"{script.stem}.ipynb": text(notebook(script)) for script in SCRIPTS}
    found = {path: path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob("*.ipynb")}
    return {
        path: wanted.get(path, "") for path in wanted.keys() | found if wanted.get(path) != found.get(path)
    }


def execute(made: NotebookNode, *, ledger: Path | None = None, timeout_s: int = 600) -> NotebookNode:
    """Run the cells of a notebook and keep their outputs in it. CellExecutionError where one fails."""
    with tempfile.TemporaryDirectory(prefix="foretoll-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        own = {
            "FORETOLL_LEDGER": str(ledger or Path(folder, "ledger.db")),
            "IPYTHONDIR": str(Path(folder, "ipython")),
            "JUPYTER_COLUMNS": "88",  # as wide as a page of the docs
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore:IProgress not found",  # of tqdm, where there are no widgets
        }
        # sockets in a folder, rather than ports that anybody on the machine may connect to
        sockets = {"transport": "ipc", "connection_file": str(Path(folder, "kernel.json"))}
        client = NotebookClient(
            made,
            config=Config({"ConnectionFileMixin": sockets}),
            kernel_name="python3",
            timeout=timeout_s,
            resources={"metadata": {"path": str(work)}},
        )
        client.execute(env=os.environ | own)
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # when it ran
    return made


def printed(made: NotebookNode) -> str:
    """What the cells of a notebook that was executed have shown, as text."""
    shown = []
    for cell in made.cells:
        for output in cell.get("outputs", ()):
            shown.append(
                output["text"] if output.output_type == "stream" else output.data.get("text/plain", "")
            )
    return "".join(shown)


def main() -> int:
    """Write, check or execute."""
    if "--execute" in sys.argv:
        EXECUTED.mkdir(parents=True, exist_ok=True)
        changed = max(path.stat().st_mtime for path in (ROOT / "src").rglob("*.py"))
        for script in SCRIPTS:
            path = EXECUTED / f"{script.stem}.ipynb"
            if not path.exists() or path.stat().st_mtime < max(changed, script.stat().st_mtime):
                print(f"executing {script.name}", flush=True)
                path.write_text(text(execute(notebook(script))), encoding="utf-8")
        return 0
    wrong = stale()
    if "--check" in sys.argv:
        return int(bool(wrong))
    NOTEBOOKS.mkdir(exist_ok=True)
    for path, content in wrong.items():
        if content:
            path.write_text(content, encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
