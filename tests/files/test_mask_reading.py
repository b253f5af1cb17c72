"""Masks in every form that people have: what is read, what is said, and what is refused."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax import UserError, read_mask
from glcic_jax.files.mask_reading import read_sources

HOLE = np.zeros((40, 60), bool)
HOLE[10:20, 15:45] = True
BYTES = HOLE * np.uint8(255)


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(skimage.data.astronaut()[:40, :60])


def rgb(colour, ground=(0, 0, 0)):
    return np.where(HOLE[..., None], np.uint8(colour), np.uint8(ground))


def palette(colours, indices=HOLE):
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(np.array(colours, np.uint8).tobytes(), "RGB")
    return image


def noisy():
    """A mask as JPEG leaves it: values around 0 and 255, some between."""
    buffer = io.BytesIO()
    Image.fromarray(BYTES).save(buffer, "JPEG", quality=70)
    return Image.open(buffer)


def soft():
    mask = BYTES.copy()
    mask[9, 15:45] = 100
    mask[20, 15:45] = 127
    mask[10, 15:45] = 128
    return mask


def photograph_with_a_hole(photo):
    return Image.fromarray(np.dstack([photo, 255 - BYTES]))


FORMS = {
    "bool": (HOLE, "black and white"),
    "0/1": (HOLE.astype(np.uint8), "values 0 and 1"),
    "0/1 int64": (HOLE.astype(np.int64), "values 0 and 1"),
    "0/255": (BYTES, "values 0 and 255"),
    "0/65535": (HOLE * np.uint16(65535), "values 0 and 65535"),
    "0/1 in 16 bits": (HOLE.astype(np.uint16), "values 0 and 1"),
    "0/128": (HOLE * np.uint8(128), "0 and 128; the higher is the hole"),
    "10/200": (np.where(HOLE, np.uint8(200), np.uint8(10)), "the higher is the hole"),
    "float 0/1": (HOLE.astype(np.float32), "values 0 and 1"),
    "float 0..255": (BYTES.astype(np.float64), "values 0 and 255"),
    "soft float": (np.where(HOLE, 0.9, 0.0) + (HOLE & (np.arange(60) % 2 == 0)) * 0.1, "soft"),
    "a list": (HOLE.astype(int).tolist(), "values 0 and 1"),
    "a channel axis": (BYTES[..., None], "values 0 and 255"),
    "a batch axis": (BYTES[None], "values 0 and 255"),
    "soft": (soft(), r"soft, 90 pixels lie between 0 and 255; above the middle, 127\.5"),
    "labels": (HOLE.astype(np.uint8) * (1 + np.arange(60, dtype=np.uint8) % 3), "labels 0 to 3"),
    "RGB": (rgb((255, 255, 255)), "equal channels"),
    "red on black": (rgb((255, 0, 0)), "the colour #ff0000 on black"),
    "magenta on white": (rgb((255, 0, 255), (255, 255, 255)), "#ff00ff on white"),
    "RGBA, opaque": (
        np.dstack([rgb((255, 255, 255)), np.full_like(BYTES, 255)]),
        "alpha is the same",
    ),
    "RGBA, a brush layer": (np.dstack([rgb((200, 30, 40)), BYTES]), "what is opaque"),
    "RGBA, black paint": (np.dstack([rgb((0, 0, 0)), BYTES]), "what is opaque"),
    "RGBA of bool": (np.dstack([HOLE, HOLE, HOLE, HOLE | True]), "alpha is the same"),
    "RGB of bool": (np.dstack([HOLE, HOLE, HOLE]), "black and white"),
    "LA": (np.dstack([np.zeros_like(BYTES), BYTES]), "what is opaque"),
    "1": (Image.fromarray(BYTES).convert("1"), "black and white"),
    "P, black and white": (palette([(0, 0, 0), (255, 255, 255)]), "black and white"),
    "P, background and part": (palette([(0, 0, 0), (128, 0, 0)]), "black and white"),
    "P, white on black the other way round": (
        palette([(255, 255, 255), (0, 0, 0)], ~HOLE),
        "black and white",
    ),
    "I;16": (Image.fromarray(HOLE * np.uint16(65535)), "values 0 and 65535"),
    "I": (Image.fromarray(HOLE * np.int32(255)), "values 0 and 255"),
    "F": (Image.fromarray(HOLE.astype(np.float32)), "values 0 and 1"),
    "CMYK": (Image.fromarray(rgb((255, 255, 255))).convert("CMYK"), "equal channels"),
    "JPEG": (noisy(), "soft"),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_the_same_hole(name, photo):
    source, said = FORMS[name]
    hole, line = read_mask(source, photo)
    assert hole.dtype == bool
    np.testing.assert_array_equal(hole, HOLE)
    assert "300 pixels (12.5 %) are the hole" in line
    assert re.search(said, line), line
    assert "\n" not in line


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg", "bmp", "gif"])
def test_files_of_every_format(tmp_path, suffix):
    path = tmp_path / f"mask.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(BYTES).save(path, **options)
    hole, line = read_mask(path)
    np.testing.assert_array_equal(hole, HOLE)
    assert line.startswith(str(path))
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_mask(file)[0], HOLE)


def test_exif_orientation_of_a_mask_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    Image.fromarray(np.rot90(BYTES)).save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png")[0], HOLE)


def test_the_photographs_transparency(photo):
    image = photograph_with_a_hole(photo)
    for given in (image, np.asarray(image)):
        hole, line = read_mask("alpha", given)
        np.testing.assert_array_equal(hole, HOLE)
        assert "transparent" in line
    partly = np.asarray(image).copy()
    partly[0, :3, 3] = (100, 127, 128)
    hole, line = read_mask("alpha", partly)
    assert hole[0, :3].tolist() == [True, True, False]
    assert "3 of them partly" in line
    # The same file given as the mask: its transparent part is meant.
    hole, line = read_mask(image, photo)
    np.testing.assert_array_equal(hole, HOLE)
    assert "transparent in places" in line


@pytest.mark.parametrize("colour", ["#ff00ff", "#f0f", "ff00ff", "f0f", "magenta"])
def test_a_colour_painted_over_the_photograph(photo, colour):
    painted = np.where(HOLE[..., None], np.array([255, 0, 255], np.uint8), photo)
    np.testing.assert_array_equal(read_mask(None, painted, colour=colour)[0], HOLE)
    sixteen = painted.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_mask(None, sixteen, colour=colour)[0], HOLE)
    near = painted.copy()
    near[HOLE] = (250, 5, 251)
    with pytest.raises(UserError, match="nearest is 5 of 255 away: --tolerance 5") as caught:
        read_mask(None, near, colour=colour)
    tolerance = int(str(caught.value).split("--tolerance ")[1].split()[0])
    hole, _ = read_mask(None, near, colour=colour, tolerance=tolerance)
    np.testing.assert_array_equal(hole, HOLE)


def test_another_resolution_is_resized(photo):
    large = BYTES.repeat(3, 0).repeat(3, 1)
    hole, line = read_mask(large, photo)
    np.testing.assert_array_equal(hole, HOLE)
    assert "resized from 180 x 120 to 60 x 40" in line
    doubled = HOLE.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(read_mask(BYTES, (80, 120))[0], doubled)
    assert read_mask(BYTES, (79, 119))[0].shape == (79, 119)


@pytest.mark.parametrize("size", [(60, 40), (40, 40), (80, 60)])
def test_another_shape_is_refused(size):
    match = f"60 x 40 pixels, the photograph {size[1]} x {size[0]}: another shape"
    with pytest.raises(UserError, match=match) as caught:
        read_mask(BYTES, size)
    assert ("turned by 90 degrees" in str(caught.value)) == (size == (60, 40))


def test_invert_and_grow():
    np.testing.assert_array_equal(read_mask(~HOLE, invert=True)[0], HOLE)
    grown, line = read_mask(HOLE, grow=3)
    assert grown[7, 30]
    assert not grown[6, 30]
    assert not grown[7, 12], "the corner is round"
    assert "widened by 3 px" in line


@pytest.mark.parametrize(
    ("mask", "warned"),
    [
        (~HOLE, "most of the picture.*--invert-mask"),
        (np.pad(np.zeros((24, 44), bool), 8, constant_values=True), "all of the border.*--invert"),
        (np.eye(60, 60, dtype=bool) & (np.arange(60) < 2), "very little"),
        (HOLE, None),
    ],
)
def test_doubtful_masks_are_told(mask, warned):
    line = read_mask(mask)[1]
    assert bool(re.search(warned or "invert|little", line)) == (warned is not None), line
    if warned and "invert" in warned:
        assert "invert-mask" not in read_mask(mask, invert=True)[1]


def known(count):
    """A mask of all but so many pixels, the last ones."""
    mask = np.ones(HOLE.shape, bool)
    mask.ravel()[mask.size - count :] = False
    return mask


def test_a_mask_may_leave_little_known():
    """As many pixels as stand around the smallest window; less where no such window fits in."""
    assert read_mask(known(52))[0].sum() == HOLE.size - 52
    assert read_mask(known(2400 - 14 * 60 + 1)[:14])[0].sum() == 14 * 60 - 1


def wrong(tmp_path, photo):
    """Source, further arguments, and what is said."""
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no image")
    noise = np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:3000])
    (tmp_path / "empty.png").write_bytes(b"")
    pages = tmp_path / "pages.tif"
    Image.fromarray(BYTES).save(pages, save_all=True, append_images=[Image.fromarray(BYTES)])
    gif = tmp_path / "moving.gif"
    frames = [Image.fromarray(BYTES), Image.fromarray(255 - BYTES)]
    frames[0].save(gif, save_all=True, append_images=frames[1:])
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "large.png")
    return {
        "nothing": (None, {}, "there is no mask"),
        "both": (BYTES, {"colour": "#f0f", "photograph": photo}, "not both"),
        "missing": (tmp_path / "no.png", {}, "No such file"),
        "directory": (tmp_path, {}, "Is a directory"),
        "text": (text, {}, "is no image"),
        "empty file": (tmp_path / "empty.png", {}, "is no image"),
        "cut": (cut, {}, "can't be read"),
        "pages": (pages, {}, "has 2 frames or pages"),
        "animation": (gif, {}, "has 2 frames or pages"),
        "stream": (io.BytesIO(b"nothing"), {}, "the mask is no image"),
        "too large": (tmp_path / "large.png", {"max_pixels": 39999}, "--max-pixels 40000"),
        "no hole": (np.zeros((4, 4)), {}, "shows no hole.*--invert-mask all of it"),
        "all hole": (np.ones((4, 4)), {}, "hole everywhere.*--invert-mask nothing"),
        "inverted to nothing": (np.ones((4, 4)), {"invert": True}, "shows no hole.*without"),
        "NaN": (np.full((4, 4), np.nan), {}, "NaN"),
        "negative": (HOLE * -1, {}, "value -1"),
        "huge": (HOLE * 1e9, {}, "values up to 1, 255 or 65535"),
        "strings": (np.array([["a"]]), {}, "values of type"),
        "an object": (object(), {}, "the mask is a object"),
        "ragged": ([[1, 0], [1]], {}, "the mask is a list"),
        "five channels": (np.zeros((4, 4, 5)), {}, r"shape \(4, 4, 5\)"),
        "no pixels": (np.zeros((0, 4)), {}, r"shape \(0, 4\)"),
        "one number": (np.float64(1), {}, r"shape \(\)"),
        "a photograph": (photo[..., 1], {}, "looks like a picture"),
        "a colour photograph": (photo, {}, "has colours.*--mask-colour"),
        "two colours": (np.where(HOLE[..., None] & (np.arange(60) % 2 == 0)[:, None],
                                 np.uint8([255, 0, 0]), rgb((0, 0, 255))), {}, "has colours"),
        "no transparency": ("alpha", {"photograph": photo}, "has no transparency"),
        "alpha of nothing": ("alpha", {}, "has no transparency"),
        "colour of nothing": (None, {"colour": "#f0f"}, "needs the photograph"),
        "no colour": (None, {"colour": "pinkish", "photograph": photo}, "'pinkish' is no colour"),
        "tolerance": (None, {"colour": "#f0f", "photograph": photo, "tolerance": 300}, "0 to 255"),
        "grow": (BYTES, {"grow": -1}, "--grow -1"),
        "grow by parts": (BYTES, {"grow": 2.5}, "--grow 2.5: give 0 to 1000 whole pixels"),
        "grow too far": (BYTES, {"grow": 60}, "no pixel known when widened"),
        "nearly all hole": (known(51), {}, "51 of 2,400 pixels known.*52 or more.* with --invert"),
        "nearly no hole": (~known(51), {"invert": True}, "51 of 2,400 .* without --invert"),
        "grow nearly too far": (~known(2000), {"grow": 6}, "pixels known .*widened by 6 px"),
    }  # fmt: skip


@pytest.mark.parametrize("number", range(37))
def test_what_is_no_mask_is_refused(tmp_path, photo, number):
    cases = wrong(tmp_path, photo)
    assert len(cases) == 37
    source, options, said = list(cases.values())[number]
    with pytest.raises(UserError, match=said) as caught:
        read_mask(source, options.pop("photograph", None), **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 330


def test_where_texture_may_be_copied_from():
    """White says where, all of it too; a source mask that allows nothing is none."""
    shape = (20, 30)
    assert read_sources(np.full(shape, 255, np.uint8), shape).all()
    half = np.zeros(shape, np.uint8)
    half[:, 16:] = 255
    np.testing.assert_array_equal(read_sources(half, shape), half > 0)
    np.testing.assert_array_equal(read_sources(half[::2, ::2], shape), half > 0)
    for wrong, message in (
        (np.zeros(shape, np.uint8), "source mask: the mask is black all over"),
        (half[:9], "source mask: .*20"),
        ("nowhere.png", "source mask: nowhere.png"),
    ):
        with pytest.raises(UserError, match=message):
            read_sources(wrong, shape)
