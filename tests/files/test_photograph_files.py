"""Photographs of every kind come back as what they were, but for the hole."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageCms

from glcic_jax import UserError
from glcic_jax.files import deep_files
from glcic_jax.files.colour_modes import Pixels
from glcic_jax.files.photograph_files import (
    encode,
    from_image,
    output_format,
    read_photograph,
)

HOLE = np.zeros((48, 72), bool)
HOLE[10:30, 20:50] = True
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PHOTO = np.ascontiguousarray(skimage.data.astronaut()[60:108, 180:252])
DEEP = PHOTO.astype(np.uint16) * 256 + np.arange(72, dtype=np.uint16)[:, None]


def deep(path, *, gray=False, alpha=False):
    values = DEEP[..., ::-1]
    if alpha:
        values = np.dstack([values, np.full(HOLE.shape, 40000, np.uint16)])
    cv2.imwrite(str(path), DEEP[..., 1] if gray else values)


def deep_gray_alpha(path):
    values = np.dstack([DEEP[..., 1], 65535 - DEEP[..., 0]])
    path.write_bytes(deep_files.encode(Pixels("LA", values), "PNG", {}, b""))


def pil(image, **options):
    return lambda path: image.save(path, **options)


def rgba():
    return Image.fromarray(np.dstack([PHOTO, (PHOTO[..., 0] // 2) + 90]))


def keyed(mode):
    image = Image.fromarray(PHOTO).convert(mode)
    value = image.getpixel((3, 3))
    return image, value


RGB = Image.fromarray(PHOTO)
KINDS = {
    "L.png": pil(RGB.convert("L")),
    "LA.png": pil(rgba().convert("LA")),
    "1.png": pil(RGB.convert("1")),
    "RGB.png": pil(RGB),
    "RGBA.png": pil(rgba()),
    "P16.png": pil(RGB.quantize(16)),
    "P256.png": pil(RGB.quantize(256)),
    "P-transparent.png": pil(RGB.quantize(30), transparency=3),
    "L-key.png": pil(keyed("L")[0], transparency=keyed("L")[1]),
    "RGB-key.png": pil(keyed("RGB")[0], transparency=keyed("RGB")[1]),
    "gray16.png": lambda path: deep(path, gray=True),
    "gray16-key.png": pil(Image.fromarray(DEEP[..., 1]), transparency=int(DEEP[3, 3, 1])),
    "RGB16.png": deep,
    "RGBA16.png": lambda path: deep(path, alpha=True),
    "LA16.png": lambda path: deep_gray_alpha(path),
    "L.tif": pil(RGB.convert("L"), compression="tiff_lzw"),
    "LA.tif": pil(rgba().convert("LA")),
    "RGB.tif": pil(RGB, compression="tiff_adobe_deflate"),
    "RGBA.tif": pil(rgba()),
    "raw.tif": pil(RGB, compression="raw"),
    "P.tif": pil(RGB.quantize(40)),
    "CMYK.tif": pil(RGB.convert("CMYK")),
    "gray16.tif": lambda path: deep(path, gray=True),
    "RGB16.tif": deep,
    "RGBA16.tif": lambda path: deep(path, alpha=True),
    "planar16.tif": lambda path: tifffile.imwrite(
        path, np.moveaxis(DEEP, -1, 0), photometric="rgb", planarconfig="separate"
    ),
    "RGB.webp": pil(RGB, lossless=True),
    "RGBA.webp": pil(rgba(), lossless=True, exact=True),
}
LOSSY = {
    "L.jpg": pil(RGB.convert("L"), quality=83),
    "RGB.jpg": pil(RGB, quality=83, subsampling=0),
    "RGB-420.jpeg": pil(RGB, quality=60, subsampling=2, progressive=True),
    "CMYK.jpg": pil(RGB.convert("CMYK"), quality=90),
    "lossy.webp": pil(RGB, quality=80),
}


def values(data):
    """All bits of a file, in its own mode."""
    image = Image.open(io.BytesIO(data))
    wide = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image.format == "TIFF" and image.tag_v2.get(284) == 2:
        planes = tifffile.imread(io.BytesIO(data))
        return image.format, "(3,)", np.moveaxis(planes, 0, -1)[..., ::-1]
    if wide is not None and wide.dtype == np.uint16:
        return image.format, str(wide.shape[2:]), wide
    return image.format, image.mode, np.asarray(image)


def repaired(path, paint=(250, 120, 10), hole=HOLE):
    """The file's bytes after its hole was painted, and the notes."""
    photograph = read_photograph(path)
    scale = 257 if photograph.image.dtype == np.uint16 else 1
    completed = photograph.image.copy()
    completed[hole] = np.array(paint) * scale
    return encode(photograph, completed, hole)


@pytest.mark.parametrize("name", KINDS)
def test_known_pixels_mode_and_format_stay_bit_for_bit(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    data, notes = repaired(path)
    (form, mode, before), (new_form, new_mode, after) = values(path.read_bytes()), values(data)
    assert (new_form, new_mode, after.dtype) == (form, mode, before.dtype)
    if name.startswith("P"):
        before, after = (
            np.asarray(Image.open(f).convert("RGBA")) for f in (path, io.BytesIO(data))
        )
    np.testing.assert_array_equal(after[~HOLE], before[~HOLE])
    assert (after[HOLE] != before[HOLE]).any()
    assert not [note for note in notes if "changes" in note], notes
    painted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[HOLE].astype(int)
    if name[:2] not in ("L.", "LA", "L-", "1.", "gr", "CM") and name != "P256.png":
        assert np.abs(painted - (250, 120, 10)).max() <= 1


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_keep_quality_and_say_that_pixels_change(tmp_path, name):
    path = tmp_path / name
    LOSSY[name](path)
    data, notes = repaired(path)
    before, after = Image.open(path), Image.open(io.BytesIO(data))
    assert (after.format, after.mode) == (before.format, before.mode)
    assert any("known pixels a little" in note for note in notes)
    if before.format == "JPEG":
        assert after.quantization == before.quantization
        assert after.info.get("progressive") == before.info.get("progressive")
        assert [layer[1:3] for layer in after.layer] == [layer[1:3] for layer in before.layer]
    off = np.asarray(after.convert("RGB")).astype(int) - np.asarray(before.convert("RGB"))
    assert np.abs(off[40:]).mean() < 6


def turned(image, orientation):
    """As EXIF 2.32 describes what is to be done with each orientation."""
    return (
        image,
        image[:, ::-1],
        image[::-1, ::-1],
        image[::-1],
        image.swapaxes(0, 1),
        np.rot90(image, -1),
        image[::-1, ::-1].swapaxes(0, 1),
        np.rot90(image),
    )[orientation - 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["RGB.jpg", "RGB.png", "RGB16.png", "RGB.tif", "raw.tif"])
def test_orientation_is_applied_once(tmp_path, orientation, name):
    path = tmp_path / name
    (KINDS | LOSSY)[name](path)
    if name == "RGB16.png":
        data = path.read_bytes()
        exif = Image.Exif()
        exif[0x0112] = orientation
        path.write_bytes(data[:33] + deep_files._chunk(b"eXIf", exif.tobytes()[6:]) + data[33:])
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"quality": 95} if name.endswith("jpg") else {}
        options |= {"compression": "raw"} if name == "raw.tif" else {}
        Image.open(path).save(path, exif=exif, **options)
    wanted = turned(PHOTO, orientation).astype(int)
    photograph = read_photograph(path)
    scale = 257 if photograph.image.dtype == np.uint16 else 1
    seen = photograph.image.astype(int) // scale
    off = np.abs(seen - wanted)
    assert off.mean() < 6 if name.endswith("jpg") else off.max() <= (scale > 1)
    hole = np.zeros(seen.shape[:2], bool)
    hole[2:5, 3:9] = True
    data, _ = encode(photograph, photograph.image, hole)
    again = Image.open(io.BytesIO(data))
    assert again.getexif().get(0x0112, 1) == 1
    assert again.size == wanted.shape[1::-1]
    assert np.abs(np.asarray(again.convert("RGB")).astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("into", [None, "TIFF", "JPEG"])
def test_exif_profile_and_resolution_stay_and_the_thumbnail_goes(tmp_path, suffix, into):
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8769)[0x829A] = 0.01  # exposure time
    exif.get_ifd(0x8825)[1] = "N"  # latitude
    options = {"lossless": True} if suffix == "webp" else {}
    RGB.save(path, exif=exif.tobytes(), icc_profile=PROFILE, dpi=(240, 240), **options)
    photograph = read_photograph(path)
    data, notes = encode(photograph, photograph.image, HOLE, into)
    image = Image.open(io.BytesIO(data))
    assert ("written without compression" in " ".join(notes)) == (
        into == "TIFF" and suffix != "tif"
    )
    assert image.info["icc_profile"] == PROFILE
    if suffix != "webp":  # which has no field for it
        assert [round(float(value)) for value in image.info["dpi"]] == [240, 240]
    assert image.getexif()[0x010F] == "A camera"
    assert float(image.getexif().get_ifd(0x8769)[0x829A]) == pytest.approx(0.01)
    assert image.getexif().get_ifd(0x8825)[1] == "N"


def test_a_16_bit_colour_png_keeps_its_chunks(tmp_path):
    path = tmp_path / "deep.png"
    deep(path)
    plain = Image.open(io.BytesIO(repaired(path)[0]))
    assert "icc_profile" not in plain.info
    data = path.read_bytes()
    text = deep_files._chunk(b"tEXt", b"Title\0The sea")
    density = deep_files._chunk(b"pHYs", (11811).to_bytes(4) * 2 + b"\1")
    path.write_bytes(data[:33] + text + density + data[33:])
    image = Image.open(io.BytesIO(repaired(path)[0]))
    assert image.info["Title"] == "The sea"
    assert round(image.info["dpi"][0]) == 300


def test_a_transparent_value_of_16_bits_stays_transparent(tmp_path):
    path = tmp_path / "gray.png"
    KINDS["gray16-key.png"](path)
    data, _ = repaired(path)
    assert Image.open(io.BytesIO(data)).info["transparency"] == int(DEEP[3, 3, 1])


def test_a_tiff_whose_0_is_white_looks_as_it_did(tmp_path):
    for values in (PHOTO[..., 1], DEEP[..., 1]):
        path = tmp_path / "white.tif"
        tifffile.imwrite(path, values, photometric="miniswhite")
        photograph = read_photograph(path)
        white = np.iinfo(values.dtype).max
        np.testing.assert_array_equal(photograph.image[..., 0], white - values)
        data, _ = encode(photograph, photograph.image, HOLE)
        again = read_photograph(io.BytesIO(data))
        np.testing.assert_array_equal(again.image, photograph.image)


def test_black_and_white_gets_a_pattern(tmp_path):
    path = tmp_path / "fax.png"
    KINDS["1.png"](path)
    data, _ = repaired(path, paint=(128, 128, 128))
    assert 0.3 < np.asarray(Image.open(io.BytesIO(data)))[HOLE].mean() < 0.7


def test_a_transparent_hole_becomes_opaque_and_other_alpha_stays(tmp_path):
    alpha = np.full(HOLE.shape, 120, np.uint8)
    alpha[:15] = 0
    path = tmp_path / "logo.png"
    Image.fromarray(np.dstack([PHOTO, alpha])).save(path)
    after = np.asarray(Image.open(io.BytesIO(repaired(path)[0])))
    wanted = alpha.copy()
    wanted[HOLE & (alpha == 0)] = 255
    np.testing.assert_array_equal(after[..., 3], wanted)
    np.testing.assert_array_equal(after[~HOLE][:, :3], PHOTO[~HOLE])


CROSS = [
    ("RGBA.png", "JPEG", "RGB", "no RGBA pixels"),
    ("RGB16.png", "JPEG", "RGB", "holds 8 bits"),
    ("gray16.tif", "JPEG", "L", "holds 8 bits"),
    ("gray16.png", "WEBP", "RGB", "holds 8 bits"),
    ("CMYK.tif", "PNG", "RGB", "no CMYK pixels"),
    ("P16.png", "JPEG", "RGB", "no P pixels"),
    ("LA.png", "JPEG", "L", "no LA pixels"),
    ("1.png", "JPEG", "L", "no 1 pixels"),
    ("RGB.jpg", "PNG", "RGB", None),
    ("L.jpg", "WEBP", "RGB", None),
    ("RGB.png", "TIFF", "RGB", None),
    ("RGB16.tif", "PNG", "16", None),
    ("RGB16.png", "TIFF", "16", None),
]


@pytest.mark.parametrize(("name", "format", "mode", "said"), CROSS)
def test_into_another_format(tmp_path, name, format, mode, said):
    path = tmp_path / name
    (KINDS | LOSSY)[name](path)
    photograph = read_photograph(path)
    data, notes = encode(photograph, photograph.image, HOLE, format)
    image = Image.open(io.BytesIO(data))
    assert image.format == format
    if mode == "16":
        wide = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(wide[..., ::-1], photograph.image)
    else:
        assert image.mode == mode
        seen = np.asarray(image.convert("RGB")).astype(int)
        wanted = photograph.image // (257 if photograph.image.dtype == np.uint16 else 1)
        if photograph.alpha is None:
            assert np.abs(seen - wanted).mean() < 3
    assert (said is None) == (not [n for n in notes if "holds" in n]), notes
    assert said is None or any(said in note for note in notes), notes


def test_a_palette_with_room_gets_the_colours_of_the_fill(tmp_path):
    path = tmp_path / "p.png"
    RGB.convert("L").quantize(20).save(path)
    photograph = read_photograph(path)
    completed = photograph.image.copy()
    completed[HOLE] = skimage.data.coffee()[100:120, 200:230].reshape(-1, 3)
    data, _ = encode(photograph, completed, HOLE)
    after = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(after[HOLE] - completed[HOLE]).mean() < 4


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_images_in_memory(mode):
    image = rgba().convert(mode) if mode != "P" else RGB.quantize(32)
    photograph = from_image(image)
    assert photograph.image.shape == (*HOLE.shape, 3)
    assert (photograph.alpha is not None) == (mode in ("RGBA", "LA"))
    data, _ = encode(photograph, photograph.image, HOLE)
    assert Image.open(io.BytesIO(data)).mode == ("RGB" if mode == "CMYK" else mode)


@pytest.mark.parametrize(
    "array", [PHOTO, PHOTO[..., 0], np.dstack([PHOTO, PHOTO[..., 0]]), DEEP, DEEP[..., 0]]
)
def test_arrays_in_memory(array):
    photograph = from_image(array)
    assert photograph.image.dtype == array.dtype
    data, _ = encode(photograph, photograph.image, HOLE)
    form, _, after = values(data)
    assert form == "PNG"
    if array.ndim == 3 and array.dtype == np.uint16:
        after = after[..., ::-1]
    np.testing.assert_array_equal(after, array)


def wrong(tmp_path):
    cut = tmp_path / "cut.jpg"
    Image.fromarray(skimage.data.astronaut()).save(cut)
    cut.write_bytes(cut.read_bytes()[:20000])
    (tmp_path / "text.jpg").write_text("no photograph")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(PHOTO).save(tmp_path / "x.bmp")
    Image.fromarray(PHOTO).save(tmp_path / "x.gif")
    Image.fromarray(PHOTO[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(PHOTO[..., 0].astype(np.int32) * 70000).save(tmp_path / "wide.tif")
    four = np.dstack([DEEP, DEEP[..., 0]])
    tifffile.imwrite(tmp_path / "cmyk16.tif", four, photometric="separated")
    tifffile.imwrite(tmp_path / "assoc16.tif", four, photometric="rgb", extrasamples=["assocalpha"])
    extra = np.dstack([PHOTO, PHOTO[..., 0]])
    tifffile.imwrite(tmp_path / "extra.tif", extra, photometric="rgb", extrasamples=["unspecified"])
    RGB.save(tmp_path / "pages.tif", save_all=True, append_images=[RGB])
    moving = [RGB, RGB.rotate(180)]
    moving[0].save(tmp_path / "moving.webp", save_all=True, append_images=moving[1:])
    moving[0].save(tmp_path / "moving.png", save_all=True, append_images=moving[1:])
    RGB.save(tmp_path / "good.png")
    return {
        "missing": (tmp_path / "no.png", "No such file"),
        "directory": (tmp_path, "Is a directory"),
        "cut": (cut, "can't be read.*truncated"),
        "text": (tmp_path / "text.jpg", "is no image"),
        "empty": (tmp_path / "empty.png", "is no image"),
        "bmp": (tmp_path / "x.bmp", "is a BMP file; convert it to one of .jpg"),
        "gif": (tmp_path / "x.gif", "is a GIF file"),
        "float": (tmp_path / "float.tif", "pixels of the kind F"),
        "32 bits": (tmp_path / "wide.tif", "values from 1680000 to 17500000"),
        "CMYK of 16 bits": (tmp_path / "cmyk16.tif", "in a way that can't be kept"),
        "alpha multiplied in": (tmp_path / "assoc16.tif", "in a way that can't be kept"),
        "five channels": (tmp_path / "extra.tif", "4 channels, of which 1 would be lost"),
        "pages": (tmp_path / "pages.tif", "2 frames or pages"),
        "animated webp": (tmp_path / "moving.webp", "2 frames"),
        "animated png": (tmp_path / "moving.png", "2 frames"),
        "stream": (io.BytesIO(b"abc"), "the photograph is no image"),
    }


@pytest.mark.parametrize("number", range(16))
def test_what_is_no_photograph_is_refused(tmp_path, number):
    source, said = list(wrong(tmp_path).values())[number]
    with pytest.raises(UserError, match=said) as caught:
        read_photograph(source)
    assert "\n" not in str(caught.value)


def test_the_limit_of_pixels_names_the_setting_that_lifts_it(tmp_path, monkeypatch):
    RGB.save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"--max-pixels 3456") as caught:
        read_photograph(tmp_path / "a.png", max_pixels=3455)
    limit = int(str(caught.value).split("--max-pixels ")[1].split()[0])
    assert read_photograph(tmp_path / "a.png", max_pixels=limit).image.shape == (48, 72, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's own warning must not appear
        with pytest.raises(UserError, match="--max-pixels 3456"):
            read_photograph(tmp_path / "a.png")
        read_photograph(tmp_path / "a.png", max_pixels=3456)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("name", ["a", "a.gif", "a.txt", "a.jpgg"])
def test_a_suffix_that_names_no_format(name):
    with pytest.raises(UserError, match=r"end it in one of \.jpg"):
        output_format(Path(name))


def test_suffixes_in_either_case():
    assert output_format(Path("A.JPG")) == "JPEG"
    assert output_format(Path("A.TiFf")) == "TIFF"
