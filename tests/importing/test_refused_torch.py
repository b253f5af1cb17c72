"""What can't be imported: one clear message, nothing run, nothing written."""

from __future__ import annotations

import functools
import json
import pathlib
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")

from foreign_networks import MEAN, Centred, NormalisedLast, as_trained  # noqa: E402
from torch7_files import Module, as_torch7, to_bytes  # noqa: E402

COMMAND = "glcic_jax.commands.import_generator"


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: pathlib.Path):
        self.trace = trace

    def __reduce__(self):
        return pathlib.Path.touch, (self.trace,)


@functools.cache
def state():
    return as_trained(NormalisedLast(4)).state_dict()


def changed(**tensors) -> dict:
    """The state dict with other tensors, by names with a double underscore for the point."""
    return state() | {name.replace("__", "."): value for name, value in tensors.items()}


def resnet() -> dict:
    names = ("bn1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.running_var", "fc.bias")
    return {"conv1.weight": torch.zeros(64, 3, 7, 7)} | {name: torch.zeros(64) for name in names}


def spoilt(name: str, value: float) -> dict:
    tensor = state()[name].clone()
    tensor.view(-1)[1] = value
    return state() | {name: tensor}


STATES = {
    "another network": (resnet, r"lacks .* more and has fc\.bias, layer1"),
    "not finite": (
        lambda: spoilt("conv5.weight", np.nan),
        r"conv5\.weight has values that are not",
    ),
    "negative variance": (lambda: spoilt("bn9.running_var", -1), r"bn9\.running_var has negative"),
    "another shape": (
        lambda: changed(conv7__bias=torch.zeros(5)),
        r"conv7\.bias has shape \(5,\); expected \(16,\)",
    ),
    "three channels": (
        lambda: changed(conv1__weight=torch.zeros(4, 3, 5, 5)),
        "early form .* no mask",
    ),
    "discriminators": (lambda: {"model_ld.conv1.weight": torch.zeros(3)}, "holds discriminators"),
    "no tensors": (lambda: {"steps": 3}, "no state dict, tensors by name, but a dictionary with"),
}


@pytest.fixture
def refused(call_program, tmp_path):
    """Imports a file that can't be; returns the message."""

    def refuse(path, *arguments: str) -> str:
        (tmp_path / "out").mkdir(exist_ok=True)
        output = tmp_path / "out" / "generator.npz"
        status, message = call_program(COMMAND, str(path), "--output", str(output), *arguments)
        assert status == 1
        assert message.startswith("error: ")
        assert "Traceback" not in message
        assert not list(output.parent.iterdir())
        return message

    return refuse


@pytest.mark.parametrize("what", STATES)
def test_other_arrays(what, refused, tmp_path):
    make, message = STATES[what]
    torch.save(make(), tmp_path / "model_cn")
    (tmp_path / "config.json").write_text(json.dumps({"mpv": MEAN}))
    assert re.search(message, refused(tmp_path / "model_cn"))


def test_code_is_not_run(refused, tmp_path):
    path, trace = tmp_path / "model_cn", tmp_path / "trace"
    for content in (Code(trace), state() | {"conv1.bias": Code(trace)}):
        torch.save(content, path)
        assert "not a file of tensors alone" in refused(path)
        assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "this reader would have run it"


def test_damaged_files(refused, tmp_path):
    path = tmp_path / "model_cn"
    torch.save(state(), path)
    sound = path.read_bytes()
    for content in (sound[: len(sound) // 2], b"", b"text", b"PK\x03\x04" + bytes(99)):
        path.write_bytes(content)
        assert "not a file of tensors alone" in refused(path)
    assert "can't be read: No such file" in refused(tmp_path / "none")
    assert "can't be read: Is a directory" in refused(tmp_path)


def test_files_of_torch_7(refused, tmp_path):
    path, table = tmp_path / "net.t7", as_torch7(as_trained(Centred(4)), MEAN)
    sound = to_bytes(table)
    for end in (0, 3, 5, 40, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:end])
        assert "damaged or cut short" in refused(path)
    modules = table["model"]["modules"]
    for place, module, message in (
        (22, modules[22] | {"dilationW": 2}, "stride, padding and dilation (1, 1, 4, 4, 4, 2)"),
        (50, {}, "stand as"),
    ):
        kept, modules[place] = modules[place], Module(modules[place].kind, **module)
        modules[place].kind = kept.kind if module else "nn.ReLU"
        path.write_bytes(to_bytes(table))
        assert message in refused(path), place
        modules[place] = kept
    path.write_bytes(to_bytes(table | {"model": Module("nn.Linear")}))
    assert "it has a layer 'nn.Linear'" in refused(path)
    path.write_bytes(to_bytes({"mean": 3}))
    assert "without a network" in refused(path)


def test_a_tensor_that_says_more_than_it_has_is_refused(refused, tmp_path):
    """A stride of zero would make terabytes of one number."""
    path = tmp_path / "net.t7"
    sound = to_bytes({"model": np.zeros((3, 5), np.float32)})
    old, sizes = (np.array(pair, "<i8").tobytes() for pair in ((3, 5, 5, 1), (3, 5, -5, 1)))
    assert sound.count(old) == 1
    for new in (sizes, *(np.array(p, "<i8").tobytes() for p in ((1 << 40, 5, 0, 0), (9, 5, 5, 1)))):
        path.write_bytes(sound.replace(old, new))
        assert "a tensor of sizes" in refused(path)


def test_the_mean_pixel_must_be_known(refused, tmp_path):
    path, settings = tmp_path / "model_cn", tmp_path / "settings.json"
    torch.save(state(), path)
    assert "give --config with a JSON file" in refused(path)
    for content in ("{", "[]", '{"mpv": [1, 2, 3]}', '{"mpv": "red"}'):
        settings.write_text(content)
        message = refused(path, "--config", str(settings))
        assert "is not valid JSON" in message or "three numbers from 0 to 1" in message


def test_an_output_that_exists_is_kept(call_program, tmp_path):
    output = tmp_path / "generator.npz"
    output.write_text("mine")
    status, message = call_program(COMMAND, str(tmp_path / "none"), "--output", str(output))
    assert (status, output.read_text()) == (1, "mine")
    assert "exists already" in message
