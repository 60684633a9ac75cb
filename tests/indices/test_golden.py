"""The released arithmetic against the values that the released research code gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretoll.indices.preindex import preindex_distance, preindex_inv_ari
from foretoll.indices.resque import resque_class_angles, resque_distribution, resque_task


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> dict[str, Any]:
    return json.loads((shared_dir / "golden" / "golden.json").read_text())


def arrays(shared_dir: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared_dir / "golden" / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)


def test_resque_distribution(shared_dir: Path, golden: dict[str, Any]) -> None:
    z = arrays(shared_dir, "resque_noise")
    args = (z["clean"], z["labels"], z["noisy"], z["labels"])
    expected = golden["resque_noise"]
    assert expected["official_average_angle"] == pytest.approx(0.29276976, abs=1e-8)
    assert resque_distribution(*args, mode="released") == pytest.approx(
        expected["official_average_angle"], abs=1e-6
    )
    angles = resque_class_angles(*args, mode="released").angles
    assert [angles[c] for c in range(10)] == pytest.approx(expected["official_class_angles"], abs=1e-6)
    assert resque_distribution(*args) == pytest.approx(expected["float64_reference"], abs=1e-12)


@pytest.mark.parametrize("mode", ["released", "corrected"])
@pytest.mark.parametrize(("pooling", "name"), [("flatten", "df1"), ("average", "df2")])
def test_resque_task_from_class_means(
    shared_dir: Path, golden: dict[str, Any], pooling: Any, name: str, mode: Any
) -> None:
    z = arrays(shared_dir, "resque_task")
    expected = golden["resque_task"]["official_1_minus_ARI"]["explicit_centroids"][name]
    assert resque_task(z["emb"], z["labels"], mode=mode, pooling=pooling) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("pooling", "name"), [("flatten", "df1"), ("average", "df2")])
def test_resque_task_from_kmeans_plus_plus(
    shared_dir: Path, golden: dict[str, Any], pooling: Any, name: str
) -> None:
    z = arrays(shared_dir, "resque_task")
    expected = golden["resque_task"]["official_1_minus_ARI"]["Kmeans_pluplus"][name]
    value = resque_task(z["emb"], z["labels"], init="k-means++", mode="released", pooling=pooling)
    assert value == pytest.approx(expected, abs=1e-6)


NAMES = {
    "wasserstein": "Wasserstein",
    "bhattacharyya": "Bhattacharya",
    "jensen_shannon": "Jenson_Shannon",
    "kl": "KL_divergence",
}


def layers(z: dict[str, np.ndarray], side: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(side): z[name] for name in z if name.startswith(side)}


@pytest.mark.parametrize("bins", [16, 32, 64])
@pytest.mark.parametrize("distance", list(NAMES))
def test_preindex_distance(shared_dir: Path, golden: dict[str, Any], distance: Any, bins: int) -> None:
    z = arrays(shared_dir, "preindex")
    expected = golden["preindex"]
    value = preindex_distance(
        layers(z, "clean__"),
        layers(z, "noisy__"),
        distance=distance,
        bins=bins,
        mode="released",
        num_classes=10,
    )
    assert value == pytest.approx(expected["reference_from_arrays"][str(bins)][NAMES[distance]], abs=1e-6)
    # end to end, values on a bin edge may fall on the other side
    assert value == pytest.approx(expected["official"]["distances"][str(bins)][NAMES[distance]], abs=5e-5)


def test_preindex_leaves_out_the_layers_that_the_released_code_leaves_out(
    shared_dir: Path, golden: dict[str, Any]
) -> None:
    z = arrays(shared_dir, "preindex")
    found = preindex_distance(layers(z, "clean__"), layers(z, "noisy__"), num_classes=10, per_layer=True)
    expected = golden["preindex"]
    excluded = expected["layers_excluded (channels<=classes)"]
    assert {n.replace("__", ".") for n in found} == set(expected["layers_in_order"]) - set(excluded)
    assert len(found) == expected["n_layers_used"]


def test_preindex_inv_ari(shared_dir: Path, golden: dict[str, Any]) -> None:
    z = arrays(shared_dir, "preindex")
    y = z["labels"]
    expected = golden["preindex"]["official"]["inv_ari"]
    own = expected["explicit_centroids"]
    for mode in ("released", "corrected"):
        assert preindex_inv_ari(z["emb_clean"], y, mode=mode) == pytest.approx(own["clean_df1"], abs=1e-6)
        assert preindex_inv_ari(z["emb_noisy"], y, mode=mode) == pytest.approx(own["noise_1_df1"], abs=1e-6)
        from_source = preindex_inv_ari(z["emb_noisy"], y, source=z["emb_clean"], source_labels=y, mode=mode)
        assert from_source == pytest.approx(own["noise_2_df1"], abs=1e-6)
    plus = expected["Kmeans_pluplus"]
    for side, name in (("emb_clean", "clean_df1"), ("emb_noisy", "noise_1_df1")):
        value = resque_task(z[side], y, init="k-means++", mode="released")
        assert value == pytest.approx(plus[name], abs=1e-6)
