"""Makes every number of the docs that rests on the ledger that ships, anew: `make numbers`, about an hour.

    OMP_NUM_THREADS=1 python benchmarks/docs_numbers.py

Each block names its ledger by runs and content; tests/docs/test_numbers.py compares that with the ledger in the
package, so that no page can be older than what ships. Numbers of other runs (cases, costs of an index) have commands
of their own, which their pages name.
"""

from __future__ import annotations

from collections import Counter

import buying
import decisions
import forecast_scores
import interval_scores
import no_source
import quality_curves
import reliability
import replication
import source_models
import task_scores
from foretoll.forecast.reference import reference_runs
from foretoll.research.score import COST_SPLITS
from pages import ROOT, markdown_table, replace_ledger_block


def shipped() -> str:
    """What the ledger that ships holds, by study and by option."""
    runs = reference_runs()
    studies = Counter(run.tags[0] if run.tags else "" for run in runs)
    options = Counter(run.option for run in runs)
    first, last = min(run.started_at for run in runs), max(run.started_at for run in runs)
    machines = sorted(
        {f"{run.hardware.device_name}, torch {run.hardware.torch}" for run in runs if run.hardware}
    )
    return "\n\n".join(
        (
            f"{len(runs):,} runs, made from {first:%-d %B %Y} to {last:%-d %B %Y} on {'; '.join(machines)}, "
            "a thread a run.",
            markdown_table(["study", "runs"], [[f"`{name}`", f"{n:,}"] for name, n in studies.most_common()]),
            markdown_table(
                ["option", "runs"], [[f"`{name}`", f"{n:,}"] for name, n in options.most_common()]
            ),
        )
    )


def main() -> None:
    """Write all pages, the quick ones first."""
    replace_ledger_block(ROOT / "docs" / "studies.md", "ledger", shipped())
    replication.main()
    task_scores.main()
    no_source.main()
    source_models.main(None)
    buying.main()
    decisions.main()
    quality_curves.main()
    forecast_scores.main()
    interval_scores.main(list(COST_SPLITS))
    reliability.main()


if __name__ == "__main__":
    main()
