"""The laws that hold for every input, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 300
MOST_GROWTH_MB = 1000
LONGEST_S = 60
BROKEN = (
    "EXECUTED", "SIGNAL", "MEMORY", "HANG", "TRACEBACK", "UNFORESEEN", "MULTILINE", "CONTROL", "LONG", "UNNAMED",
    "NOTHING SAID", "CODE", "CHANGED",
)  # fmt: skip
PREFIX = "foretoll: "


def outcome_of(done: Mapping[str, Any]) -> str:
    """What a case that came to its end did: `answered`, `refused`, `wrong use`, or the law that it broke."""
    err: str = done["err"]
    if done["canary"]:
        return "EXECUTED"
    if done["growth_mb"] > MOST_GROWTH_MB:
        return "MEMORY"
    if done["cpu_s"] > LONGEST_S:
        return "HANG"
    if "Traceback" in err or done["raised"]:
        return "TRACEBACK"
    if "this should not have happened" in err:
        return "UNFORESEEN"
    if done["changed"]:
        return "CHANGED"
    if done["code"] not in (0, 1, 2, 3):
        return "CODE"
    if any(not (c.isprintable() or c == "\n") for c in done["out"] + err):
        return "CONTROL"
    return _judged(done, [line for line in err.splitlines() if line])


def _judged(done: Mapping[str, Any], lines: list[str]) -> str:
    """Laws of a message: there is one, on one line, not too long, and it says of what it speaks."""
    code, words = done["code"], done["words"]
    quiet = "-q" in words or words[:1] in (["ledger"], ["study"])
    warned = [line for line in lines if line.startswith(f"{PREFIX}warning: ")]
    lines = [line for line in lines if line not in warned]
    if any(len(line) > LONGEST for line in warned):
        return "LONG"
    messages = [line for line in lines if line.startswith(PREFIX)]
    if code == 0 or (code in (1, 3) and not messages and done["out"].strip()):
        return "MULTILINE" if quiet and lines else "answered"
    if not messages:
        return "answered" if done["out"].strip() else "NOTHING SAID"
    # of a study file every mistake is told, a line each
    listed = words[:2] == ["study", "run"] and messages == lines
    if not listed and (len(messages) > 1 or (quiet and len(lines) > 1)):
        return "MULTILINE"
    if any(len(message) > LONGEST for message in messages):
        return "LONG"
    said = " ".join(messages).replace(PREFIX, "")
    if done["names"] and not any(name and name.lower() in said.lower() for name in done["names"]):
        return "UNNAMED"
    return "wrong use" if code == 2 else "refused"
