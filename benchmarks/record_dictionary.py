"""Train the dictionary that records are packed by, on the runs that ship; it is made once, and then never again.

    python benchmarks/record_dictionary.py --out src/foretoll/exchange/records-1.zdict

Another one gets the next number (`--number 3`; 2 is what ends go on from starts by) and a file of its own: what is
packed needs the one that packed it. The first one was trained on texts of lessons too, which ledgers no longer keep.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import zstandard

from foretoll.forecast.reference import reference_runs
from foretoll.ledger.append import start_of
from foretoll.records import Run

BYTES, RUNS = 112_640, 2000
TENSORS = [
    f"{block}.{layer}.{kind}"
    for block in ("layer1.0", "layer2.1", "blocks.3", "features.4", "encoder.layer.5")
    for layer in ("conv1", "bn1", "attn.qkv", "mlp.fc1", "norm1", "attention.self.query", "downsample.0")
    for kind in ("weight", "bias")
]


def whole(run: Run, rng: random.Random) -> Run:
    """A run that ships with what was trimmed of it: changes by tensor, of made-up size."""
    named = rng.sample(TENSORS, rng.randint(4, 30))
    return run.model_copy(
        update={"parameter_change_by_tensor": {name: rng.random() * 1e-3 for name in named}}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.number)
    runs = rng.sample(reference_runs(), RUNS)
    texts = [run.model_dump_json(by_alias=True) for run in runs]
    texts += [start_of(run).model_dump_json(by_alias=True) for run in runs]
    texts += [whole(run, rng).model_dump_json(by_alias=True) for run in runs[::5]]
    made = zstandard.train_dictionary(BYTES, [text.encode() for text in texts], dict_id=args.number)
    args.out.write_bytes(made.as_bytes())
    print(f"{len(made)} bytes, dictionary {made.dict_id()}")


if __name__ == "__main__":
    main()
