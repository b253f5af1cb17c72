"""Sheets of pictures, and who may draw them."""

import numpy as np

from glcic_jax.evaluation.metrics import REGIONS
from glcic_jax.evaluation.pictures import comparison_pictures, picture_grid
from glcic_jax.evaluation.protocols import protocol_masks
from glcic_jax.evaluation.results import Results

SIDE = 96  # Large enough not to be enlarged.


def _images(count):
    """Image i is i * 20 all over."""
    return [np.full((SIDE, SIDE, 3), 20 * i, np.uint8) for i in range(count)]


def _copy(image_u8, mask):
    return np.where(mask > 0.5, np.uint8(255), image_u8)


def _cells(sheet_u8, rows, columns):
    """The pictures of a sheet, uint8 cell_RxNxSxSx3: its right part, with 4 pixels between them."""
    sheet_u8 = sheet_u8[:, -(columns * (SIDE + 4) - 4) :]
    step = SIDE + 4
    return np.array(
        [
            [
                sheet_u8[r * step : r * step + SIDE, c * step : c * step + SIDE]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


def test_a_sheet_shows_input_methods_and_originals():
    sheet = picture_grid({"white": _copy}, _images(3), protocol="center", seed=0, count=2)
    hole = np.asarray(protocol_masks("center", 0, np.arange(1), SIDE))[0, ..., 0] > 0
    shown, white, original = _cells(sheet, 3, 2)
    for number in range(2):
        assert (shown[number][hole] == 128).all()
        assert (white[number][hole] == 255).all()
        assert (original[number] == 20 * number).all()
        assert (shown[number][~hole] == 20 * number).all()


def test_the_worst_stand_left_and_the_best_right():
    psnr = np.array([30.0, 10.0, 50.0, 20.0, 40.0, 60.0, 5.0, 70.0, 35.0])
    scores = {"white": {region: {"psnr": psnr} for region in REGIONS}}
    results = Results("center", 0, np.full(9, 0.25), scores)
    sheets = comparison_pictures({"white": _copy}, _images(9), results)
    originals = _cells(sheets["Worst (left) and best of white"], 3, 8)[2]
    # The four worst, then the best and those after it.
    assert (originals[:, 0, 0, 0] // 20).tolist() == [6, 1, 3, 0, 7, 5, 2, 4]


def test_training_draws_its_sheets_without_reports(run_python):
    program = "import sys, glcic_jax.training.loop; print(*sorted(sys.modules))"
    loaded = run_python("-c", program).stdout.split()
    evaluation = {name for name in loaded if name.startswith("glcic_jax.evaluation.")}
    assert "glcic_jax.evaluation.pictures" in evaluation
    for name in ("report", "comparison", "reporting", "classifier", "console", "perception"):
        here = f"glcic_jax.evaluation.{name}"
        assert not [m for m in evaluation if m == here or m.startswith(f"{here}.")], name
