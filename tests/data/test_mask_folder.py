"""A folder of masks: every form that is read elsewhere, what is left out, and a run with it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support import replace

from glcic_jax.config.checks import check
from glcic_jax.config.scoring import Scoring, check_scoring, protocol_key
from glcic_jax.data.mask_folder import load_masks
from glcic_jax.errors import UserError
from glcic_jax.evaluation.loop import examples
from glcic_jax.evaluation.reporting import evaluate_run
from glcic_jax.imaging.folder_masks import LEAST_COVER
from glcic_jax.training.loop import train


def save_masks(root):
    """A white scribble on black in several forms; one of them is twice as wide as high."""
    root.mkdir()
    picture = Image.new("L", (64, 64))
    ImageDraw.Draw(picture).line([(8, 10), (50, 30), (20, 55)], fill=255, width=6)
    picture.save(root / "gray.png")
    Image.fromarray(np.asarray(picture) // 255).save(root / "zero-one.png")
    picture.convert("RGB").save(root / "lossy.jpg", quality=85)
    picture.resize((128, 64)).point(lambda value: 255 * (value > 127)).save(root / "wide.tif")
    return np.asarray(picture) > 0


def test_masks_of_every_form_are_the_same_hole(tmp_path):
    hole = save_masks(tmp_path / "masks")
    bank = load_masks(str(tmp_path / "masks"), 64)
    assert bank.shape == (4, 64, 64)
    assert bank.dtype == np.uint8
    gray, lossy, wide, zero_one = bank >= LEAST_COVER
    np.testing.assert_array_equal(gray, hole)
    np.testing.assert_array_equal(zero_one, hole)
    assert np.mean(lossy != hole) < 0.02
    assert not wide[:16].any()
    assert not wide[48:].any()
    assert 0.8 < wide.sum() / (hole.sum() / 2) < 1.3


def test_a_hair_is_not_lost_when_masks_shrink(tmp_path):
    (tmp_path / "masks").mkdir()
    hair = np.zeros((640, 640), np.uint8)
    hair[:, 320] = 255
    Image.fromarray(hair).save(tmp_path / "masks" / "hair.png")
    (bank,) = load_masks(str(tmp_path / "masks"), 16)
    assert (bank >= LEAST_COVER).sum() == 16


def test_what_is_no_mask_is_counted(tmp_path, photo, caplog):
    save_masks(tmp_path / "masks")
    Image.new("L", (64, 64)).save(tmp_path / "masks" / "black.png")
    with caplog.at_level(logging.WARNING, "glcic_jax"):
        assert len(load_masks(str(tmp_path / "masks"), 32)) == 4
    assert "left out 1 of 5 masks, for example: " in caplog.text
    assert "black.png shows no hole" in caplog.text
    (tmp_path / "photographs").mkdir()
    Image.fromarray(photo).save(tmp_path / "photographs" / "a.png")
    with pytest.raises(UserError, match=r"1 of 1 files in folder:.* are no masks .*a\.png has col"):
        load_masks(str(tmp_path / "photographs"), 32)
    with pytest.raises(UserError, match="does not exist"):
        load_masks(str(tmp_path / "absent"), 32)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "folder:"}, "masks.kind is 'folder:'; choose one of rectangle, .*folder:PATH"),
        ({"kind": "freeform+folder:x"}, "mixed.folder:PATH"),
        ({"kind": "mixed", "shares": (1.0,) * 5}, "set masks.kind mixed.folder:PATH"),
        ({"min_scale": 0.9, "max_scale": 0.6}, "masks.min-scale is 0.9, which is more than"),
    ],
)
def test_kinds_that_do_not_exist(tiny_config, changes, complaint):
    with pytest.raises(UserError, match=complaint):
        check(replace(tiny_config, masks=changes))
    for kind in ("folder:x", "mixed+folder:x"):
        check(replace(tiny_config, masks={"kind": kind}))
    with pytest.raises(UserError, match=r"has 'folder:'; choose from rectangle, .* folder:PATH"):
        check_scoring(Scoring(("folder:",)))


def test_a_run_trains_and_is_scored_on_a_folder(tmp_path, tiny_config, photo_crops):
    save_masks(tmp_path / "masks")
    kind = f"folder:{tmp_path / 'masks'}"
    config = replace(
        tiny_config,
        masks={"kind": kind},
        phases={"completion_steps": 1, "discriminator_steps": 0, "joint_steps": 0},
        loop={"validation_images": 4},
    )
    absent = replace(config, masks={"kind": "folder:absent"})
    with pytest.raises(UserError, match="does not exist"):
        train(tmp_path / "run", absent)
    assert not (tmp_path / "run").exists()
    train(tmp_path / "run", config)
    evaluate_run(tmp_path / "run", Scoring((kind,), limit=4, methods=("model",)))
    key = f"{protocol_key(kind)}-test"
    assert key.startswith("folder-masks-")
    assert (tmp_path / "run" / f"results-{key}.png").is_file()
    # The masks as they are, and the same wherever the folder is.
    indices, bank = np.arange(8), load_masks(str(tmp_path / "masks"), 32) >= LEAST_COVER
    images = list(photo_crops)
    _, mask = examples(images, indices, kind, 0)
    (tmp_path / "masks").rename(tmp_path / "moved")
    _, moved = examples(images, indices, f"folder:{tmp_path / 'moved'}", 0)
    np.testing.assert_array_equal(mask, moved)
    assert all(any(np.array_equal(one[..., 0], cover) for cover in bank) for one in mask)
