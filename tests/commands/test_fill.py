"""`glcic-jax fill` on files and folders, and all that it must refuse without losing a file."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image
from support import ROOT, python_environment

from glcic_jax import fill_photograph, inpaint_fn, load_generator
from glcic_jax.commands import command_line, fill

HOLE = np.zeros((96, 120), np.uint8)
HOLE[30:38, 20:90] = 255
PHOTO = np.ascontiguousarray(skimage.data.chelsea()[60:156, 120:240])


@pytest.fixture
def folder(tmp_path):
    """Photographs with masks of their own, as a user has them."""
    for name in ("scans", "masks", "scans/more", "masks/more"):
        (tmp_path / name).mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "scans/one.png")
    Image.fromarray(PHOTO[::-1]).save(tmp_path / "scans/two.jpg", quality=95)
    Image.fromarray(PHOTO[:, ::-1]).save(tmp_path / "scans/more/one.webp", lossless=True)
    Image.fromarray(HOLE).save(tmp_path / "masks/one.png")
    Image.fromarray(HOLE[::-1]).save(tmp_path / "masks/two.png")
    Image.fromarray(HOLE[:, ::-1]).save(tmp_path / "masks/more/one.png")
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    Image.fromarray(HOLE).save(tmp_path / "mask.png")
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys, folder):
    """Call the command in `folder`: status, what it printed, and its errors."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        monkeypatch.setattr(sys, "argv", ["glcic-jax fill", *words])
        status = 0
        try:
            command_line.run(fill.main)
        except SystemExit as stopped:
            status = stopped.code
        done = capsys.readouterr()
        return status, done.out, done.err

    return call


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def wanted():
    return inpaint_fn(*load_generator("photographs"), PHOTO, HOLE > 0)


def test_one_file(call, folder, wanted):
    status, out, err = call("photo.png", "--mask", "mask.png", "--output", "done.png")
    assert (status, err) == (0, "")
    np.testing.assert_array_equal(pixels(folder / "done.png"), wanted)
    assert "mask.png: the values 0 and 255; 560 pixels (4.9 %) are the hole" in out
    assert "done.png: repaired in" in out
    assert not list(folder.glob(".*")), "a temporary file is left"


def test_an_output_that_is_a_directory_takes_the_name(call, folder, wanted):
    (folder / "out").mkdir()
    assert call("photo.png", "--mask", "mask.png", "--output", "out")[0] == 0
    np.testing.assert_array_equal(pixels(folder / "out/photo.png"), wanted)


def test_compare_shows_all_three(call, folder):
    call("photo.png", "--mask", "mask.png", "--output", "done.png", "--compare")
    sheet = pixels(folder / "done.png.compare.jpg").astype(int)
    assert sheet.shape == (96, 3 * 120 + 16, 3)
    assert np.abs(sheet[34, 128 + 50] - (255, 0, 255)).max() < 40
    assert np.abs(sheet[:20, :120] - PHOTO[:20]).mean() < 4


def test_a_comparison_replaces_nothing_and_fits_into_a_jpeg(call, folder):
    words = ("photo.png", "--mask", "mask.png", "--output", "done.png", "--compare")
    (folder / "done.png.compare.jpg").write_text("precious")
    status, _, err = call(*words)
    assert status == 1
    assert "done.png.compare.jpg exists already" in err
    assert (folder / "done.png.compare.jpg").read_text() == "precious"
    assert not (folder / "done.png").exists()
    Image.fromarray(np.tile(PHOTO[:4], (1, 140, 1))).save(folder / "wide.png")
    hole = np.zeros((4, 140 * 120), np.uint8)
    hole[1:3, 300:310] = 255
    Image.fromarray(hole).save(folder / "wide-mask.png")
    words = ("wide.png", "--mask", "wide-mask.png", "--output", "w.png", "--compare")
    assert call(*words)[0] == 0
    assert max(Image.open(folder / "w.png.compare.jpg").size) == 16_000
    words = ("wide.png", "--mask", "wide-mask.png", "--output", "w.webp")
    status, _, err = call(*words)
    assert status == 1
    assert err.startswith("error: the repaired photograph can't be written as WEBP")
    assert len(err.splitlines()) == 1
    for name in ("one.jpg", "one.png"):
        Image.fromarray(PHOTO).save(folder / name)
    call("one.jpg", "one.png", "--mask", "mask.png", "--output", "two", "--compare")
    assert len(list((folder / "two").glob("*.compare.jpg"))) == 2


def test_a_folder_tells_doubts_of_each_and_notes_of_many_once(call, folder):
    Image.fromarray(PHOTO).save(folder / "scans/three.jpg")
    Image.fromarray(HOLE).save(folder / "masks/three.png")
    Image.fromarray(255 - HOLE).save(folder / "masks/one.png")
    status, out, _ = call("scans", "--masks", "masks", "--output", "new")
    assert status == 0
    assert "scans/one.png: masks/one.png: " in out
    assert out.count("--invert-mask") == 1
    assert "2 of them: JPEG encoding changes known pixels" in out


def test_a_mask_inside_the_folder_is_no_photograph(call, folder):
    Image.fromarray(HOLE).save(folder / "scans/mask.png")
    status, out, _ = call("scans", "--mask", "scans/mask.png", "--output", "new")
    assert (status, out.splitlines()[-1]) == (0, "3 repaired")
    assert not (folder / "new/mask.png").exists()


def test_python_does_the_same_and_saves(folder, wanted):
    repaired = fill_photograph(folder / "photo.png", folder / "mask.png")
    np.testing.assert_array_equal(repaired.image, wanted)
    repaired.save(folder / "saved.png")
    np.testing.assert_array_equal(pixels(folder / "saved.png"), wanted)
    with pytest.raises(ValueError, match="exists already"):
        repaired.save(folder / "saved.png")
    repaired.save(folder / "saved.png", overwrite=True)
    from_arrays = fill_photograph(PHOTO, HOLE, generator=load_generator("photographs"))
    np.testing.assert_array_equal(from_arrays.image, wanted)
    with pytest.raises(ValueError, match="blend is 'x'"):
        fill_photograph(PHOTO, HOLE, blend="x")
    from_image = fill_photograph(Image.fromarray(PHOTO), Image.fromarray(HOLE))
    np.testing.assert_array_equal(from_image.image, wanted)


def test_a_photographs_own_transparency(call, folder):
    Image.fromarray(np.dstack([PHOTO, 255 - HOLE])).save(folder / "logo.png")
    assert call("logo.png", "--mask", "alpha", "--output", "done.png")[0] == 0
    done = pixels(folder / "done.png")
    assert (done[..., 3] == 255).all()
    np.testing.assert_array_equal(done[HOLE == 0][:, :3], PHOTO[HOLE == 0])


def test_a_painted_colour_an_inverted_mask_and_growth(call, folder, wanted):
    painted = np.where(HOLE[..., None] > 0, np.uint8([0, 255, 0]), PHOTO)
    Image.fromarray(painted).save(folder / "painted.png")
    assert call("painted.png", "--mask-colour", "00ff00", "--output", "a.png")[0] == 0
    np.testing.assert_array_equal(pixels(folder / "a.png"), wanted)
    Image.fromarray(255 - HOLE).save(folder / "inverted.png")
    call("photo.png", "--mask", "inverted.png", "--invert-mask", "--output", "b.png")
    np.testing.assert_array_equal(pixels(folder / "b.png"), wanted)
    call("photo.png", "--mask", "mask.png", "--grow", "2", "--output", "c.png")
    changed = (pixels(folder / "c.png") != PHOTO).any(-1)
    assert changed[28:40].any(1).tolist() == [True] * 12
    assert not changed[27].any()


def test_blending_is_for_generators_that_start_from_the_mean_pixel(call, folder, wanted):
    words = ("photo.png", "--mask", "mask.png", "--output")
    assert call(*words, "a.png", "--blend", "none")[0] == 0
    np.testing.assert_array_equal(pixels(folder / "a.png"), wanted)
    assert call(*words, "b.png", "--blend", "membrane", "--views", "2")[0] == 0
    blended = pixels(folder / "b.png")
    np.testing.assert_array_equal(blended[HOLE == 0], PHOTO[HOLE == 0])
    assert (blended[HOLE > 0] != wanted[HOLE > 0]).any()


def test_a_folder_with_masks_by_name(call, folder):
    Image.fromarray(PHOTO).save(folder / "scans/lonely.png")
    Image.fromarray(HOLE).save(folder / "masks/widow.png")
    status, out, err = call("scans", "--masks", "masks", "--output", "repaired")
    assert (status, err) == (0, "")
    made = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("repaired/**/*.*"))
    assert made == ["repaired/more/one.webp", "repaired/one.png", "repaired/two.jpg"]
    assert "1 photographs have no mask: lonely.png" in out
    assert "1 masks have no photograph: widow" in out
    assert out.splitlines()[-1] == "3 repaired"
    mirrored = pixels(folder / "repaired/more/one.webp")
    np.testing.assert_array_equal(mirrored[HOLE[:, ::-1] == 0], PHOTO[:, ::-1][HOLE[:, ::-1] == 0])
    assert (mirrored[HOLE[:, ::-1] > 0] != PHOTO[:, ::-1][HOLE[:, ::-1] > 0]).any()


def test_a_folder_goes_on_where_it_stopped_and_over_broken_files(call, folder):
    (folder / "scans/broken.png").write_bytes((folder / "photo.png").read_bytes()[:900])
    words = ("scans", "--mask", "mask.png", "--output", "scans/repaired")
    status, out, err = call(*words)
    assert status == 1
    assert err.startswith("error: scans/broken.png can't be read")
    assert len(err.splitlines()) == 1
    assert out.splitlines()[-1] == "3 repaired, 1 failed"
    kept = (folder / "scans/repaired/one.png").stat().st_mtime_ns
    (folder / "scans/repaired/two.jpg").unlink()
    (folder / "scans/broken.png").unlink()
    status, out, err = call(*words)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "1 repaired, 2 already there"
    assert (folder / "scans/repaired/one.png").stat().st_mtime_ns == kept
    assert call(*words)[1].startswith("nothing to do: 3 already there")
    assert call(*words, "--overwrite")[1].splitlines()[-1] == "3 repaired"
    assert (folder / "scans/repaired/one.png").stat().st_mtime_ns > kept


def test_what_no_one_thought_of_does_not_stop_the_others(call, monkeypatch):
    from glcic_jax.inpainting import repair

    plain = repair.encode

    def strange(photograph, *others):
        if photograph.format == "WEBP":
            raise RuntimeError("an encoder's own words")
        if photograph.format == "JPEG":
            raise ZeroDivisionError("a mistake of ours")
        return plain(photograph, *others)

    monkeypatch.setattr(repair, "encode", strange)
    status, out, err = call("scans", "--mask", "mask.png", "--output", "new")
    assert status == 1
    assert out.splitlines()[-1] == "1 repaired, 2 failed"
    assert "scans/more/one.webp: the repaired photograph can't be written as WEBP" in err
    assert "scans/two.jpg: ZeroDivisionError: a mistake of ours" in err
    assert len(err.splitlines()) == 2


def test_several_files_and_one_mask(call, folder):
    words = ("scans/one.png", "scans/two.jpg", "--mask", "mask.png", "--output", "new")
    assert call(*words)[0] == 0
    assert sorted(path.name for path in (folder / "new").iterdir()) == ["one.png", "two.jpg"]


def test_the_input_is_replaced_only_where_it_is_named(call, folder, wanted):
    words = ("photo.png", "--mask", "mask.png", "--output", "photo.png")
    assert call(*words)[0] == 1
    np.testing.assert_array_equal(pixels(folder / "photo.png"), PHOTO)
    assert call(*words, "--overwrite")[0] == 0
    np.testing.assert_array_equal(pixels(folder / "photo.png"), wanted)


def test_standard_input_and_output(folder, tmp_path, wanted):
    command = [
        sys.executable,
        "-m",
        "glcic_jax",
        "fill",
        "-",
        "--mask",
        "mask.png",
        "--output",
        "-",
    ]
    environment = python_environment(tmp_path / "compiled") | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        input=(folder / "photo.png").read_bytes(),
        cwd=folder,
        env=environment,
        capture_output=True,
        check=True,
    )
    np.testing.assert_array_equal(pixels(io.BytesIO(done.stdout)), wanted)
    assert b"standard output: repaired in" in done.stderr


def test_what_is_read_wrongly_is_told_before_jax_starts(folder, tmp_path):
    program = (
        "import sys; sys.argv = ['f', 'photo.png', '--mask', 'photo.png', '--output', 'x.png']\n"
        "from glcic_jax.commands import fill\n"
        "try:\n    fill.main()\nexcept ValueError as error:\n    print(error)\n"
        "print('jax' in sys.modules)"
    )
    environment = python_environment(tmp_path / "compiled") | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "has colours" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


# --- What is refused ------------------------------------------------------------------------------


def spoil(folder):
    """Files that are wrong in every way."""
    good = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(good[:700])
    (folder / "cut.jpg").write_bytes((folder / "scans/two.jpg").read_bytes()[:1500])
    (folder / "text.jpg").write_text("no photograph")
    (folder / "text.npz").write_text("no generator")
    (folder / "empty.png").write_bytes(b"")
    (folder / "nothing").mkdir()
    (folder / "twice").mkdir()
    Image.fromarray(PHOTO).save(folder / "twice/one.png")
    Image.fromarray(HOLE).save(folder / "twice/two.png")
    Image.fromarray(HOLE).save(folder / "twice/two.tif")
    Image.fromarray(PHOTO).save(folder / "photo.gif")
    Image.fromarray(PHOTO).save(folder / "photo.bmp")
    Image.fromarray(PHOTO[..., 0].astype(np.float32)).save(folder / "float.tif")
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    for name in ("moving.webp", "moving.png", "pages.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    for name, mask in {
        "black": HOLE * 0,
        "white": HOLE * 0 + 255,
        "wide": HOLE[:, :90],
        "turned": HOLE.T,
        "gray": PHOTO[..., 0],
        "parts": np.where(HOLE[..., None] > 0, PHOTO, np.uint8(0)),
    }.items():
        Image.fromarray(np.ascontiguousarray(mask)).save(folder / f"{name}.png")
    Image.fromarray(np.dstack([PHOTO, HOLE * 0])).save(folder / "clear.png")
    Image.fromarray(np.dstack([PHOTO, HOLE * 0 + 255])).save(folder / "opaque.png")
    (folder / "folder.png").mkdir()


GOOD = ("photo.png", "--mask", "mask.png")
REFUSED = {
    # The command line.
    (): "Missing",
    ("photo.png",): "Missing",
    ("photo.png", "--output", "x.png"): "say where the hole is",
    ("--mask", "mask.png", "--output", "x.png"): "name a photograph",
    (*GOOD, "--masks", "masks", "--output", "x.png"): "in one way",
    (*GOOD, "--mask-colour", "red", "--output", "x.png"): "in one way",
    (*GOOD, "--output", "x.png", "--tolerance", "3"): "--tolerance is about --mask-colour",
    (*GOOD, "--output", "x.png", "--grow", "-1"): "grow is -1; it must lie between 0 and 1000",
    (*GOOD, "--output", "x.png", "--grow", "many"): "many",
    (*GOOD, "--output", "x.png", "--views", "3"): "views",
    (*GOOD, "--output", "x.png", "--max-pixels", "0"): "max-pixels is 0",
    (*GOOD, "--output", "x.png", "--colour", "red"): "Unrecognized",
    (*GOOD, "--output", "x.png", "--checkpoint", "first"): "checkpoint",
    # The output.
    (*GOOD, "--output", "x"): "names no format; end it in one of .jpg",
    (*GOOD, "--output", "x.gif"): "names no format",
    (*GOOD, "--output", "no/x.png"): "the directory no does not exist",
    (*GOOD, "--output", "scans/one.png"): "exists already; give --overwrite",
    (*GOOD, "--output", "photo.png"): "exists already",
    (*GOOD, "--output", "-", "--compare"): "--compare writes a file",
    ("-", "--mask", "mask.png", "--output", "scans"): "is a directory; name a file",
    ("scans", "--mask", "mask.png", "--output", "-"): "--output - takes one photograph",
    ("scans", "--mask", "mask.png", "--output", "photo.png"): "is a file; give a directory",
    ("scans", "--mask", "mask.png", "--output", "scans"): "is where the photographs are",
    ("scans/one.png", "scans/two.jpg", "--mask", "mask.png", "--output", "scans"): "is where the",
    (*GOOD, "--output", "mask.png", "--overwrite"): "mask.png is the mask, and would replace it",
    # The photographs.
    ("no.png", "--mask", "mask.png", "--output", "x.png"): "no.png does not exist",
    ("cut.png", "--mask", "mask.png", "--output", "x.png"): "cut.png can't be read",
    ("cut.jpg", "--mask", "mask.png", "--output", "x.png"): "cut.jpg can't be read",
    ("text.jpg", "--mask", "mask.png", "--output", "x.png"): "text.jpg is no image",
    ("empty.png", "--mask", "mask.png", "--output", "x.png"): "empty.png is no image",
    ("photo.gif", "--mask", "mask.png", "--output", "x.png"): "is a GIF file; convert it",
    ("photo.bmp", "--mask", "mask.png", "--output", "x.png"): "is a BMP file; convert it",
    ("float.tif", "--mask", "mask.png", "--output", "x.png"): "pixels of the kind F",
    ("moving.webp", "--mask", "mask.png", "--output", "x.png"): "2 frames or pages",
    ("moving.png", "--mask", "mask.png", "--output", "x.png"): "2 frames or pages",
    ("pages.tif", "--mask", "mask.png", "--output", "x.png"): "2 frames or pages",
    (*GOOD, "--output", "x.png", "--max-pixels", "9"): "give --max-pixels 11520",
    ("nothing", "--mask", "mask.png", "--output", "new"): "nothing has no photographs (.jpg",
    ("scans", "photo.png", "--mask", "mask.png", "--output", "new"): "give one directory, or only",
    ("-", "photo.png", "--mask", "mask.png", "--output", "new"): "give one directory, or only",
    ("scans/one.png", "twice/one.png", "--mask", "mask.png", "--output", "new"): "are called one",
    ("scans", "no.png", "--mask", "mask.png", "--output", "new"): "no.png does not exist",
    # The masks.
    ("photo.png", "--mask", "no.png", "--output", "x.png"): "no.png does not exist",
    ("photo.png", "--mask", "-", "--output", "x.png"): "standard input is for the photograph",
    ("photo.png", "--mask", "folder.png", "--output", "x.png"): "Is a directory",
    ("photo.png", "--mask", "cut.png", "--output", "x.png"): "cut.png can't be read",
    ("photo.png", "--mask", "text.jpg", "--output", "x.png"): "text.jpg is no image",
    ("photo.png", "--mask", "empty.png", "--output", "x.png"): "empty.png is no image",
    ("photo.png", "--mask", "pages.tif", "--output", "x.png"): "2 frames or pages",
    ("photo.png", "--mask", "black.png", "--output", "x.png"): "shows no hole",
    ("photo.png", "--mask", "white.png", "--output", "x.png"): "a hole everywhere",
    ("photo.png", "--mask", "white.png", "--invert-mask", "--output", "x.png"): "shows no hole",
    ("photo.png", "--mask", "wide.png", "--output", "x.png"): "90 x 96 pixels, the photograph 120",
    ("photo.png", "--mask", "turned.png", "--output", "x.png"): "turned by 90 degrees it would fit",
    ("photo.png", "--mask", "gray.png", "--output", "x.png"): "looks like a picture, not a mask",
    ("photo.png", "--mask", "photo.png", "--output", "x.png"): "has colours",
    ("photo.png", "--mask", "parts.png", "--output", "x.png"): "has colours",
    ("photo.png", "--mask", "alpha", "--output", "x.png"): "has no transparency",
    ("opaque.png", "--mask", "alpha", "--output", "x.png"): "shows no hole",
    ("clear.png", "--mask", "alpha", "--output", "x.png"): "a hole everywhere",
    ("clear.png", "--mask", "mask.png", "--output", "x.png"): "wherever the image is not transp",
    ("photo.png", "--mask-colour", "puce", "--output", "x.png"): "'puce' is no colour",
    ("photo.png", "--mask-colour", "#00ff00", "--output", "x.png"): "of 255 away: --tolerance",
    ("photo.png", "--masks", "masks", "--output", "x.png"): "--masks is for several photographs",
    ("scans", "--masks", "mask.png", "--output", "new"): "mask.png is not a directory",
    ("scans", "--masks", "no", "--output", "new"): "no is not a directory",
    ("scans", "--masks", "nothing", "--output", "new"): "no mask in nothing has the name",
    ("scans", "--masks", "twice", "--output", "new"): "are masks of the same photograph",
    # The generator.
    (*GOOD, "--output", "x.png", "--generator", "no"): "no pretrained generator 'no'",
    (*GOOD, "--output", "x.png", "--generator", "scans"): "no training run in scans",
    (
        *GOOD,
        "--output",
        "x.png",
        "--generator",
        "text.npz",
    ): "not a generator that glcic-jax export",
    (*GOOD, "--output", "x.png", "--generator", "./no.npz"): "no.npz",
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_a_bad_input_is_one_message_and_changes_nothing(call, folder, words):
    spoil(folder)
    before = contents(folder)
    status, out, err = call(*words)
    assert status == 1
    assert REFUSED[words] in err, err
    lines = err.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) == 1 or lines[-1].endswith("--help describes every option"), err
    assert len(lines) <= 2
    assert len(lines[0]) < 330
    assert "Traceback" not in err
    assert "repaired" not in out
    assert contents(folder) == before
    assert len(REFUSED) >= 60
