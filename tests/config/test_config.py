"""Presets, the JSON round trip, comparison, and a message for every wrong setting."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, get_origin, get_type_hints

import pytest
from support import replace

from glcic_jax.config import presets, saved
from glcic_jax.config.checks import check
from glcic_jax.config.presets import PRESETS
from glcic_jax.config.settings import Config, PhaseConfig, phase_of
from glcic_jax.errors import UserError


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_json(name):
    config = presets.preset(name)
    check(config)
    assert saved.from_json(saved.to_json(config)) == config


def test_unknown_preset_lists_the_known():
    with pytest.raises(UserError, match=r"'huge'.*photos.*cifar100.*paper"):
        presets.preset("huge")


WRONG = [
    ({"image_size": 4}, "image-size is 4"),
    ({"masks": {"local_window": 1.5}}, "local-window is 1.5"),
    ({"masks": {"max_side": 0.8}}, r"max-side 0.8 is more than masks.local-window 0.5"),
    ({"masks": {"min_side": 0.4, "max_side": 0.3}}, "min-side is 0.4, which is more than"),
    ({"masks": {"min_count": 5, "max_count": 4}}, "min-count"),
    ({"masks": {"kind": "pixels", "max_missing": 2.0}}, "max-missing is 2"),
    ({"masks": {"kind": "mixed", "shares": (1.0, 1.0)}}, "four numbers"),
    ({"masks": {"kind": "mixed", "shares": (1.0, 1.0, 0.0, -1.0)}}, "from 0 to 1e6"),
    ({"masks": {"kind": "mixed", "shares": (0.0, 0.0, 0.0, 0.0)}}, "not 0 for all"),
    ({"masks": {"local_window": 0.2, "max_side": 0.2, "min_side": 0.1}}, "needs at least 8"),
    ({"data": {"sources": ()}}, "data.sources is empty"),
    ({"data": {"sources": ("imagenet",)}}, "'imagenet'"),
    ({"data": {"sources": ("folder:",)}}, "'folder:'"),
    ({"data": {"weights": (1.0, 2.0)}}, "2 values for 1 sources"),
    ({"data": {"weights": (-1.0,)}}, "one positive number"),
    ({"data": {"batch_size": 0}}, "data.batch-size is 0"),
    ({"data": {"min_scale": 2.0, "max_scale": 1.5}}, "data.min-scale is 2"),
    ({"data": {"sources": ("cifar100",)}, "image_size": 64}, "image-size is 64, set 32"),
    ({"data": {"max_scale": float("inf")}}, "data.max-scale is inf"),
    ({"augment": {"flip": 1.5}}, "augment.flip is 1.5"),
    ({"model": {"width": 5}}, "model.width is 5; it must be even"),
    ({"model": {"downsamples": 0}}, "model.downsamples is 0"),
    ({"model": {"dilations": (2, -1)}}, "model.dilations is -1"),
    ({"model": {"contrast": "local", "fill": "mean"}}, "set model.fill harmonic"),
    ({"model": {"contrast": "centred"}}, "set model.fill mean"),
    ({"model": {"contrast": "local", "downsamples": 1}}, "model.downsamples to at least 2"),
    ({"losses": {"joint_weight": -1.0}}, "losses.joint-weight is -1"),
    (
        {"losses": {"joint_weight": 0.0, "adversarial_ratio": 0.5}},
        "adversarial-ratio is 0.5, but the weights that it scales are 0: set losses.joint-weight",
    ),
    (
        {
            "model": {"discriminator": "shared_patch"},
            "losses": {"global_weight": 0.0, "patch_weight": 0.0, "adversarial_ratio": 0.5},
        },
        "set losses.global-weight or losses.patch-weight",
    ),
    ({"optimizer": {"learning_rate": float("nan")}}, "optimizer.learning-rate is nan"),
    ({"optimizer": {"ema_decay": 1.0}}, "optimizer.ema-decay is 1"),
    ({"phases": {"completion_steps": -1}}, "phases.completion-steps is -1"),
    ({"phases": PhaseConfig(0, 0, 0)}, "all phases have 0 steps"),
    ({"loop": {"log_every": 0}}, "loop.log-every is 0"),
    ({"seed": -1}, "seed is -1; it must lie between 0 and 2147483647"),
    ({"model": {"fill": "median"}}, "model.fill is 'median'.*mean, harmonic"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(UserError, match=message) as caught:
        check(replace(Config(), **change))
    assert len(str(caught.value).splitlines()) <= 2


def test_phases_follow_the_step():
    phases = PhaseConfig(completion_steps=2, discriminator_steps=1, joint_steps=2)
    names = [phase_of(step, phases) for step in range(5)]
    assert names == ["completion", "completion", "discriminator", "joint", "joint"]


def test_differences_name_fields_but_not_cadence():
    old = Config()
    new = replace(old, model={"width": 64}, loop={"log_every": 3}, data={"workers": 7}, seed=9)
    found = saved.differences(old, new)
    assert found == ["seed: 0 -> 9", "model.width: 32 -> 64"]


def test_the_discriminators_weigh_alike_whichever_are_chosen():
    """In the small presets one logit has the weight of two."""
    for name in ("photos", "cifar100"):
        losses = presets.preset(name).losses
        assert losses.joint_weight == losses.global_weight + losses.local_weight
        assert losses.patch_weight == losses.local_weight


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"model": {"wdth": 3}}', "unknown field model.wdth"),
        ('{"seed": "one"}', "seed = 'one'"),
        ('{"model": 3}', "no table 'model.'"),
        ('{"data": {"sources": "photos"}}', "data.sources = 'photos'"),
        ('{"data": {"sources": [3]}}', r"data.sources = \[3\]"),
        ('{"data": {"weights": [1, "a"]}}', "data.weights"),
        ('{"model": {"dilations": ["a"]}}', "model.dilations"),
        ('{"masks": {"local_window": true}}', "masks.local_window = True"),
        (f'{{"masks": {{"local_window": {10**400}}}}}', "masks.local_window = 1000"),
        ('{"losses": {"adversarial": 3}}', "losses.adversarial = 3"),
    ],
)
def test_damaged_json_is_explained(text, message):
    with pytest.raises(UserError, match=message):
        saved.from_json(text)


def test_whole_numbers_are_read_where_fractions_belong():
    config = saved.from_json('{"masks": {"local_window": 1}, "data": {"weights": [2]}}')
    assert (config.masks.local_window, config.data.weights) == (1.0, (2.0,))
    assert type(config.masks.local_window) is float


def test_a_missing_field_takes_its_default():
    assert saved.from_json('{"seed": 3}') == dataclasses.replace(Config(), seed=3)


def tables() -> list:
    parts = (getattr(Config(), field.name) for field in dataclasses.fields(Config))
    return [Config(), *(part for part in parts if dataclasses.is_dataclass(part))]


def test_every_number_has_its_range_at_the_field():
    for table in tables():
        for name, kind in get_type_hints(type(table), include_extras=True).items():
            if type(getattr(table, name)) in (int, float):
                assert get_origin(kind) in (Annotated, Literal), f"{type(table).__name__}.{name}"


def test_every_field_is_described():
    import inspect

    for table in map(type, tables()):
        source = inspect.getsource(table).splitlines()
        for field in dataclasses.fields(table):
            if dataclasses.is_dataclass(getattr(Config(), field.name, None)):
                continue
            line = next(i for i, text in enumerate(source) if text.startswith(f"    {field.name}:"))
            assert source[line + 1].startswith('    """'), f"{table.__name__}.{field.name}"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"data":' * 100_000], ids=["lists", "tables"])
def test_brackets_in_brackets_are_refused(text):
    with pytest.raises(UserError, match="not valid JSON"):
        saved.from_json(text)


def test_text_where_numbers_belong_is_refused():
    model = dataclasses.replace(Config().model, dilations=("a",))
    with pytest.raises(UserError, match="must hold numbers"):
        check(dataclasses.replace(Config(), model=model))


def test_a_number_that_is_none_of_a_literal_is_refused():
    model = dataclasses.replace(Config().model, views=77)
    with pytest.raises(UserError, match="is 77; choose one of"):
        check(dataclasses.replace(Config(), model=model))


def test_a_number_of_any_size_is_refused_in_words():
    masks = dataclasses.replace(Config().masks, local_window=10**400)
    with pytest.raises(UserError, match="local-window is 1000"):
        check(dataclasses.replace(Config(), masks=masks))
