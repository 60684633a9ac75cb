"""What a run cost in a model card: the Hub's field, a paragraph, and the rest of the card left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import foretoll
from foretoll.errors import UsageError
from foretoll.records import Run
from foretoll.workflows import Accounting

from .loops import Loop


def tracked(**how: object) -> Run:
    _, run, _ = Loop().run({"target": blobs_target(), **how})
    assert run is not None and run.record is not None
    return run.record


def blobs_target() -> object:
    from torch.utils.data import DataLoader

    from .loops import blobs

    return DataLoader(blobs(), 20)


def front(text: str) -> dict[str, object]:
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_field_is_that_of_the_hub() -> None:
    run = tracked()
    field = front(foretoll.log_model_card(run))["co2_eq_emissions"]
    assert isinstance(field, dict) and run.toll.emissions_kg is not None and run.hardware is not None
    assert field["emissions"] == pytest.approx(1000 * run.toll.emissions_kg), "grams"
    assert field["training_type"] == "fine-tuning"
    assert field["hardware_used"] == run.hardware.device_name
    assert "DEU" in field["geographical_location"] and field["source"].startswith("foretoll (")
    scratch = front(foretoll.log_model_card(run.model_copy(update={"option": "scratch"})))
    assert scratch["co2_eq_emissions"]["training_type"] == "pre-training"  # type: ignore[index]


def test_the_rest_of_a_card_stays(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(
        "---\nlicense: mit\nco2_eq_emissions:\n  emissions: 99\ntags:\n- mine\n---\n\n# Mine\n\nText.\n"
    )
    run = tracked()
    first = foretoll.log_model_card(run, tmp_path)
    assert card.read_text() == first and front(first)["license"] == "mit" and front(first)["tags"] == ["mine"]
    assert "# Mine\n\nText.\n" in first and "emissions: 99" not in first and run.id in first
    again = foretoll.log_model_card(run, card)
    assert again == first, "twice is once"
    assert front(foretoll.log_model_card(run, tmp_path / "new" / "model"))["co2_eq_emissions"]
    assert (tmp_path / "new" / "model" / "README.md").is_file()


def test_the_hub_reads_it(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    foretoll.log_model_card(tracked(), tmp_path)
    data = hub.ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert json.loads(json.dumps(data))["co2_eq_emissions"]["emissions"] > 0


def test_without_emissions_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="measure its energy"):
        foretoll.log_model_card(tracked(accounting=Accounting("none", region="DE")))
