"""A user's script, run in a process of its own: `script.py ENGINE FUNCTION FOLDER`, many tasks that take long.

It prints what became of the tasks, or that it was interrupted.
"""

from __future__ import annotations

import sys

from tests.engine import work

from foretoll.engine import open_engine


def double(number: int) -> int:
    return 2 * number


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")


def main() -> None:
    name, function, folder = sys.argv[1:]
    with open_engine(name) as engine:
        try:
            if function == "double":
                say(sorted(result.value for result in engine.run(double, range(4))))
            else:
                tasks = (work.Marked(number, folder) for number in range(100))
                for result in engine.run(getattr(work, function), tasks):
                    say(result)
        except KeyboardInterrupt:
            say("interrupted")


if __name__ == "__main__":
    main()
