"""An estimate on torchvision networks whose weights come from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from .conftest import Call

FLAGS = (
    "--source 'digits?part=1/2&limit=120' --target 'digits?part=2/2&limit=120&shift=contrast:0.4' "
    "--until 0.5 --energy none --region DE --quiet --json --samples 60"
)
VIT = """
from torch import nn
from torchvision.models import VisionTransformer

def build(num_classes):
    network = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=num_classes
    )
    network.conv_proj = nn.Conv2d(1, 32, kernel_size=8, stride=8)  # grey images
    return network
"""


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_resnet18(call: Call, tmp_path: Path, suffix: str) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    state = resnet18(num_classes=10).state_dict()
    if suffix == "pt":
        torch.save(state, tmp_path / "w.pt")
    else:
        save_file(state, tmp_path / "w.safetensors")
    done = call(f"estimate --model 'torchvision:resnet18?input_size=32' --weights w.{suffix} {FLAGS}")
    assert done.code == 0, done.err
    assert done.data["model"]["head"] == "fc"
    assert done.data["model"]["family"] == "resnet"
    assert done.data["signals"]["renormalised_probe_accuracy"] is not None  # it has batch norm
    assert done.data["forecast"]["epochs"]["median"] is not None  # from the reference ledger


def test_a_vision_transformer(call: Call, tmp_path: Path) -> None:
    (tmp_path / "small_vit.py").write_text(VIT)
    namespace: dict[str, object] = {}
    exec(VIT, namespace)  # the test's own text
    torch.manual_seed(0)
    build = namespace["build"]
    save_file(build(10).state_dict(), tmp_path / "w.safetensors")  # type: ignore[operator]
    done = call(f"estimate --model 'small_vit:build?input_size=32' --weights w.safetensors {FLAGS}")
    assert done.code == 0, done.err
    assert done.data["model"]["head"] == "heads.head"
    assert done.data["model"]["family"] == "other"  # a function of the user's own
    assert done.data["signals"].get("renormalised_probe_accuracy") is None  # no batch norm
    assert done.data["indices"]["resque"]["value"] >= 0
