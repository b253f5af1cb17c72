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

from glcic_jax.errors import UserError  # noqa: E402
from glcic_jax.importing.state_dicts import read_state_dict  # noqa: E402

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
    "one that is no tensor": (lambda: state() | {"epoch": 3}, "but a dictionary with 'epoch';"),
    "complex": (
        lambda: changed(conv7__bias=torch.zeros(16, dtype=torch.complex64)),
        r"conv7\.bias holds torch\.complex64; expected floating",
    ),
    "whole numbers": (
        lambda: changed(conv7__bias=torch.zeros(16, dtype=torch.int8)),
        r"conv7\.bias holds torch\.int8",
    ),
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
        message = refused(path)
        assert "no state dict" in message or "is not a state dict that torch.save wrote" in message
        assert "nothing in it was run" in message
        assert "weights_only" not in message, "PyTorch's own advice is to run it"
        assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "this reader would have run it"


def test_damaged_files(refused, tmp_path):
    path = tmp_path / "model_cn"
    torch.save(state(), path)
    sound = path.read_bytes()
    for content in (sound[: len(sound) // 2], b"", b"text", b"PK\x03\x04" + bytes(99)):
        path.write_bytes(content)
        assert "is not a state dict that torch.save wrote, or it is damaged" in refused(path)
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    assert "needs no import" in refused(path.with_suffix(".npz"))
    assert "can't be read: No such file" in refused(tmp_path / "none")
    assert "can't be read: Is a directory" in refused(tmp_path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["ZIP", "older"])
def test_a_flipped_bit_is_refused_or_does_not_matter_to_the_reader(is_zip, tmp_path):
    """A ZIP file has checksums; in the older form some bits of numbers can change unseen."""
    path = tmp_path / "model_cn"
    torch.save(state(), path, _use_new_zipfile_serialization=is_zip)
    sound, draw, read = path.read_bytes(), np.random.default_rng(0), 0
    for place in draw.integers(0, len(sound) if is_zip else 5000, 200):
        content = bytearray(sound)
        content[place] ^= 1 << draw.integers(8)
        path.write_bytes(content)
        try:
            found = read_state_dict(path)
        except UserError:
            continue
        read += 1
        if is_zip:
            assert all((found[name] == state()[name].numpy()).all() for name in found)
    assert read < (30 if is_zip else 200)


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
    for place, fields, message in (
        (37, {"adjH": 1, "adjW": 1}, "with adjH 1, adjW 1"),
        (3, {"threshold": 0.5}, "with threshold 0.5"),
        (1, {"weight": np.zeros((4, 100)), "nOutputPlane": -4, "nInputPlane": -4}, "0.0.weight"),
    ):
        kept = modules[place]
        modules[place] = Module(kept.kind, **kept | fields)
        path.write_bytes(to_bytes(table))
        assert message in refused(path), place
        modules[place] = kept
    parallel = Module("nn.ParallelTable", modules=modules)
    path.write_bytes(to_bytes(table | {"model": parallel}))
    assert "it has a layer 'nn.ParallelTable'" in refused(path)
    path.write_bytes(to_bytes(table | {"model": Module("nn.Linear")}))
    assert "it has a layer 'nn.Linear'" in refused(path)
    path.write_bytes(to_bytes({"mean": 3}))
    assert "without a network" in refused(path)


def test_chains_that_never_end_are_refused(refused, tmp_path):
    """One that holds itself, and forty that each hold the next one twice."""
    path = tmp_path / "net.t7"
    endless = Module("nn.Sequential", modules={})
    endless["modules"][1] = endless
    path.write_bytes(to_bytes({"model": endless}))
    assert "it has a layer 'nn.Sequential'" in refused(path)
    chain = Module("nn.Identity")
    for _ in range(18):
        chain = Module("nn.Sequential", modules={1: chain, 2: chain})
    path.write_bytes(to_bytes({"model": chain}))
    assert "it has over 1000 layers" in refused(path)


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
