"""inpaint_fn as a user calls it: sizes, dtypes, known pixels, and every wrong input."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from support import initialise

from glcic_jax import UserError, inpaint_fn, load_generator
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.imaging.values import white
from glcic_jax.networks.registry import build_generator


@pytest.fixture(scope="module")
def model():
    """A narrow generator whose output layer is not zero, so that it changes the fill."""
    generator = build_generator(Config(model=ModelConfig(width=4, dilations=(2, 4))))
    image, mask = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 16, 16, 1))
    variables = initialise(generator, jax.random.key(0), image, mask)
    kernel = variables["params"]["output"]["kernel"]
    noise = 0.2 * jax.random.normal(jax.random.key(1), kernel.shape)
    variables["params"]["output"]["kernel"] = noise
    return generator, variables


@pytest.fixture(scope="module")
def photo():
    return skimage.data.astronaut()[100:137, 200:251]  # 37 x 51: neither divides by 4


@pytest.fixture(scope="module")
def mask(photo):
    hole = np.zeros(photo.shape[:2], np.uint8)
    hole[10:20, 30:51] = 1  # reaches the right border
    return hole


DTYPES = (np.uint8, np.uint16, np.float32, np.float64, np.float16, jnp.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_known_pixels_and_dtype_stay(model, photo, mask, dtype, kind):
    if kind == "jax" and dtype == np.float64:
        pytest.skip("JAX has no float64 here")
    image = (photo / 255 * white(dtype)).round(9).astype(dtype)
    given = image if kind == "numpy" else jnp.asarray(image)
    completed = inpaint_fn(*model, given, mask)
    assert isinstance(completed, np.ndarray if kind == "numpy" else jax.Array)
    assert completed.dtype == dtype
    assert completed.shape == photo.shape
    known = mask == 0
    assert np.asarray(completed)[known].tobytes() == image[known].tobytes()
    assert not np.array_equal(np.asarray(completed)[~known], image[~known])


def test_hole_values_are_not_read_and_results_agree_across_dtypes(model, photo, mask):
    blanked = np.where(mask[..., None] == 1, np.uint8(255), photo)
    completed = inpaint_fn(*model, photo, mask)
    np.testing.assert_array_equal(inpaint_fn(*model, blanked, mask), completed)
    from_float = inpaint_fn(*model, (photo / 255).astype(np.float32), mask)
    # Two programs: they may round a value that lies between two levels to either.
    differs = np.abs(np.round(from_float * 255) - completed)
    assert differs.max() <= 1
    assert np.count_nonzero(differs) < 0.002 * differs.size
    from_16_bits = inpaint_fn(*model, photo.astype(np.uint16) * 257, mask)
    assert np.abs(from_16_bits - from_float * 65535).max() < 1.5
    assert (from_16_bits[mask == 1] % 257 > 0).mean() > 0.9, "no more than 8 bits"


def in_jit(model, image, mask):
    generator, variables = model
    program = jax.jit(lambda v, image, hole: inpaint_fn(generator, v, image, hole))
    return np.asarray(program(variables, jnp.asarray(image), jnp.asarray(mask)))


@pytest.mark.parametrize("name", ["H W", "H W 1", "B H W 1"])
def test_gray_images_are_filled_as_three_equal_channels(model, photo, mask, name):
    gray = photo[..., 1]
    rgb = inpaint_fn(*model, gray[..., None].repeat(3, -1), mask)
    given = {"H W": gray, "H W 1": gray[..., None], "B H W 1": gray[None, ..., None]}[name]
    holes = mask[None] if name.startswith("B") else mask
    completed = inpaint_fn(*model, given, holes)
    assert completed.shape == given.shape
    np.testing.assert_array_equal(completed.reshape(gray.shape)[mask == 0], gray[mask == 0])
    assert np.abs(completed.reshape(gray.shape).astype(int) - rgb[..., 1]).max() <= 1
    inside = in_jit(model, given, holes)
    assert inside.shape == given.shape
    assert np.abs(inside.astype(int) - completed).max() <= 1


def test_transparent_colours_do_not_bleed_into_the_fill(model, photo, mask):
    alpha = np.full(photo.shape[:2], 200, np.uint8)
    alpha[0:16, 18:28] = 0  # touches the hole
    rgba = np.dstack([photo, alpha])
    completed = inpaint_fn(*model, rgba, mask)
    np.testing.assert_array_equal(completed[..., 3], alpha)
    np.testing.assert_array_equal(completed[mask == 0], rgba[mask == 0])
    painted = rgba.copy()
    painted[alpha == 0, :3] = (255, 0, 255)
    again = inpaint_fn(*model, painted, mask)
    np.testing.assert_array_equal(again[mask == 1], completed[mask == 1])
    np.testing.assert_array_equal(again[mask == 0], painted[mask == 0])
    unknown = (mask == 1) | (alpha == 0)
    wanted = inpaint_fn(*model, photo, unknown)
    np.testing.assert_array_equal(completed[mask == 1][:, :3], wanted[mask == 1])
    assert np.abs(in_jit(model, rgba, mask).astype(int) - completed).max() <= 1


@pytest.mark.parametrize("off", [1e-9, -5e-7])
def test_rounding_errors_outside_the_range_are_taken_as_they_are(model, photo, mask, off):
    image = photo / 255
    image[0, 0] = 1 + off if off > 0 else off
    completed = inpaint_fn(*model, image, mask)
    np.testing.assert_array_equal(completed[mask == 0], image[mask == 0])
    assert 0 <= completed[mask == 1].min() <= completed[mask == 1].max() <= 1


@pytest.mark.parametrize("scale", [1.0, 2.0, 128.0, 255.0])
def test_the_advice_for_a_mask_of_two_values_makes_it_a_mask(model, photo, mask, scale):
    soft = mask * scale
    soft[9, 30:51] = scale * 0.25
    with pytest.raises(UserError, match="pass `mask > ") as caught:
        inpaint_fn(*model, photo, soft)
    threshold = float(str(caught.value).split("mask > ")[1].split("`")[0])
    np.testing.assert_array_equal(
        inpaint_fn(*model, photo, soft > threshold), inpaint_fn(*model, photo, mask)
    )


def test_a_batch_is_its_images(model, photo, mask):
    images = np.stack([photo, photo[::-1], photo[:, ::-1]])
    masks = np.stack([mask, mask[::-1], np.zeros_like(mask)])
    completed = inpaint_fn(*model, images, masks)
    assert completed.shape == images.shape
    for number in range(2):
        alone = inpaint_fn(*model, images[number], masks[number])
        assert np.abs(completed[number].astype(int) - alone).max() <= 1
    np.testing.assert_array_equal(completed[2], images[2])


@pytest.mark.parametrize("size", [(8, 8), (33, 64), (130, 47), (1, 9)])
def test_any_height_and_width(model, size):
    image = np.resize(skimage.data.chelsea(), (*size, 3))
    hole = np.zeros((*size, 1), bool)
    hole[0, : size[1] // 2] = True
    completed = inpaint_fn(*model, image, hole)
    assert completed.shape == image.shape
    np.testing.assert_array_equal(completed[~hole[..., 0]], image[~hole[..., 0]])


def test_an_empty_mask_returns_the_image(model, photo):
    np.testing.assert_array_equal(inpaint_fn(*model, photo, np.zeros(photo.shape[:2])), photo)


def test_works_inside_jit(model, photo, mask):
    generator, variables = model
    jitted = jax.jit(lambda v, image, hole: inpaint_fn(generator, v, image, hole))
    inside = jitted(variables, jnp.asarray(photo), jnp.asarray(mask))
    outside = inpaint_fn(generator, variables, photo, mask)
    assert np.abs(np.asarray(inside).astype(int) - outside).max() <= 1


def wrong_inputs():
    image, hole = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    full = np.ones_like(hole)
    batch = np.stack([image, image])
    return {
        "mask size": (image, np.zeros((16, 12)), r"shape \(16, 12\).*expected a mask of shape"),
        "one mask for a batch": (batch, hole, r"expected a mask of shape \(2, 16, 16\)"),
        "0/255": (image, hole + np.eye(16, dtype=np.uint8) * 255, r"values 0, 255.*mask > 127"),
        "soft mask": (image, np.full((16, 16), 0.5), r"values 0\.5.*`mask > 0\.25`"),
        "NaN mask": (image, np.full((16, 16), np.nan), "values nan.*no numbers"),
        "signed mask": (image, np.eye(16) - 2, r"values -2\.0, -1\.0.*threshold of yours"),
        "full mask": (image, full, "mask of image 0 is 1 everywhere"),
        "second is full": (batch, np.stack([hole, full]), "mask of image 1 is 1 everywhere"),
        "two channels": (image[..., :2], hole, r"\(16, 16, 2\); expected .*RGB"),
        "all transparent": (
            np.zeros((16, 16, 4), np.uint8),
            hole + np.eye(16, dtype=np.uint8),
            "1 wherever the image is not transparent",
        ),
        "no pixels": (np.zeros((0, 16, 3), np.uint8), hole[:0], "expected .*RGB"),
        "int64": (image.astype(np.int64), hole, "dtype int64; expected uint8"),
        "0..255 float": (np.full((16, 16, 3), 200.0), hole, r"\[200\.0, 200\.0\].*Divide by 255"),
        "16-bit float": (np.full((16, 16, 3), 4e4), hole, "Divide by the value of white"),
        "-1..1": (np.full((16, 16, 3), -0.5), hole, r"pass `\(image \+ 1\) / 2`"),
        "far below": (np.full((16, 16, 3), -7.0), hole, "black is 0 and white is 1"),
        "a little above": (np.full((16, 16, 3), 1.00001), hole, r"1\.00001\].*clip\(0, 1\)"),
        "NaN": (np.full((16, 16, 3), np.nan), hole, "are no numbers"),
        "a list": ([[1]], hole, "images is of type list"),
    }


@pytest.mark.parametrize("name", wrong_inputs())
def test_wrong_input_is_explained(model, name):
    image, hole, message = wrong_inputs()[name]
    with pytest.raises(UserError, match=message) as caught:
        inpaint_fn(*model, image, hole)
    assert len(str(caught.value)) < 250


def test_exchanged_arguments_are_explained(model, photo, mask):
    generator, variables = model
    for wrong in ((variables, generator, photo, mask), (photo, mask, generator, variables)):
        with pytest.raises(UserError, match="takes a generator and its variables, as") as caught:
            inpaint_fn(*wrong)
        assert type(wrong[0]).__name__ in str(caught.value)
        assert len(str(caught.value)) < 250


def test_no_run_is_explained(tmp_path):
    with pytest.raises(UserError, match="no training run in"):
        load_generator(tmp_path / "nothing")


def test_an_unknown_public_name_is_an_attribute_error():
    import glcic_jax

    with pytest.raises(AttributeError, match="nonsense"):
        _ = glcic_jax.nonsense
    assert all(hasattr(glcic_jax, name) for name in glcic_jax.__all__)
