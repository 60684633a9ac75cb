"""What foretoll and each of its extras weigh: the files of all that they need, as they are installed here.

python benchmarks/extras.py      for the table of benchmarks/extras.md, where everything is installed (make install)
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

EXTRAS = (
    "timm",
    "hf",
    "peft",
    "ray",
    "postgres",
    "accelerate",
    "lightning",
    "mlflow",
    "wandb",
    "tensorboard",
    "dev",
)


def needs(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What a distribution needs here, with these extras."""
    found = map(Requirement, distribution(name).requires or ())
    return [
        need
        for need in found
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
    ]


def closure(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """The distributions that come with it, itself included; what is not installed here is left out."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        try:
            more = needs(*one)
        except PackageNotFoundError:
            continue
        seen.add(one)
        waiting += [(need.name, frozenset(need.extras)) for need in more]
    return {re.sub(r"[-_.]+", "-", found.lower()) for found, _ in seen}


@cache
def megabytes(name: str) -> float:
    """The files of a distribution."""
    files = distribution(name).files or ()
    places = (file.locate() for file in files)
    return sum(place.stat().st_size for place in places if place.is_file()) / 1e6


def total(names: set[str]) -> float:
    """Of several."""
    return sum(map(megabytes, names))


def main() -> None:
    """Print the table."""
    core = closure("foretoll")
    cuda = {
        name for name in core if name.startswith(("nvidia-", "cuda-", "triton")) and name != "nvidia-ml-py"
    }
    print("| | packages | MB | the heaviest |\n| --- | ---: | ---: | --- |")
    for extra in (None, *EXTRAS):
        names = core if extra is None else closure("foretoll", frozenset({extra})) - core
        heaviest = sorted(names, key=megabytes, reverse=True)[:3]
        shown = ", ".join(f"{name} {megabytes(name):,.0f}" for name in heaviest)
        print(
            f"| {'foretoll' if extra is None else f'+ [{extra}]'} | {len(names)} | {total(names):,.0f} | {shown} |"
        )
        if extra is None:
            print(
                f"| of it CUDA, which torch for the CPU does without | {len(cuda)} | {total(cuda):,.0f} | |"
            )


if __name__ == "__main__":
    main()
