"""A file's own pixel values, whatever their mode: as RGB, and with a fill put into the hole."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from glcic_jax.errors import UserError

_LUMA = np.array([299, 587, 114], np.float64) / 1000
"""ITU-R BT.601, as Pillow converts RGB to gray."""
_COLOURS = 256


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Values as a file holds them.

    Attributes:
        mode: Pillow's name: 1, L, LA, P, RGB, RGBA, CMYK; with uint16 values of 16 bits.
        values: (H, W) of 1, L and P, otherwise (H, W, C); uint8, uint16, or bool of mode 1.
        palette: uint8 palette_Nx3 of mode P.
        transparency: of mode P, the alpha of each colour or the index of the transparent one; of L
            and RGB the transparent value; None.
    """

    mode: str
    values: np.ndarray
    palette: np.ndarray | None = None
    transparency: bytes | int | tuple[int, ...] | None = None

    def as_rgb(self) -> tuple[np.ndarray, np.ndarray | None]:
        """image_HxWx3 of uint8 or uint16, and alpha_HxW of the same dtype or None."""
        values = self.values
        if self.mode == "1":
            return (values * np.uint8(255))[..., None].repeat(3, -1), None
        if self.mode in ("L", "LA"):
            gray = values if self.mode == "L" else values[..., 0]
            alpha = values[..., 1] if self.mode == "LA" else self._keyed()
            return gray[..., None].repeat(3, -1), alpha
        if self.mode == "P":
            assert self.palette is not None
            return self.palette[values], self._keyed()
        if self.mode == "CMYK":
            return np.asarray(_as_it_is(self, values).convert("RGB")), None
        alpha = values[..., 3] if self.mode == "RGBA" else self._keyed()
        return np.ascontiguousarray(values[..., :3]), alpha

    def _keyed(self) -> np.ndarray | None:
        """Alpha where some values are transparent; None where none is."""
        key = self.transparency
        if key is None:
            return None
        white = np.iinfo(self.values.dtype).max
        if isinstance(key, bytes):
            alphas = np.full(_COLOURS, white, self.values.dtype)
            alphas[: len(key)] = np.frombuffer(key, np.uint8)
            return alphas[self.values]
        hit = self.values == np.asarray(key, self.values.dtype)
        hit = hit.all(-1) if hit.ndim == 3 else hit
        return np.where(hit, 0, white).astype(self.values.dtype)


def read_pixels(image: Image.Image, name: str) -> Pixels:
    """The values of a decoded image.

    Raises:
        UserError: of a mode that photographs don't have.
    """
    mode = image.mode
    if mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        wide = np.asarray(image.convert("I") if mode != "I" else image)
        if wide.min() < 0 or wide.max() > 65535:
            raise UserError(
                f"{name} has values from {wide.min()} to {wide.max()}; save it with 8 or 16 bits a "
                "channel, 0 to 65535"
            )
        return Pixels("L", wide.astype(np.uint16), None, image.info.get("transparency"))
    if mode == "PA":
        image, mode = image.convert("RGBA"), "RGBA"
    if mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
        raise UserError(
            f"{name} has pixels of the kind {mode}; save it as gray, RGB, RGBA or CMYK with 8 or "
            "16 bits a channel"
        )
    transparency = image.info.get("transparency")
    if mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        values = np.asarray(image)
        missing = int(values.max()) + 1 - len(palette)
        palette = np.pad(palette, ((0, max(missing, 0)), (0, 0)))
        return Pixels("P", values, palette, transparency)
    return Pixels(mode, np.asarray(image), None, transparency if mode in ("L", "RGB") else None)


def repaired_pixels(pixels: Pixels, completed_HxWx3: np.ndarray, hole_HxW: np.ndarray) -> Pixels:
    """The values with the fill in the hole; known ones bit for bit.

    Where the hole is transparent it becomes opaque, otherwise alpha stays as it is.

    Args:
        pixels: as they were read.
        completed_HxWx3: RGB, uint8 or uint16 as `Pixels.as_rgb` gives it.
        hole_HxW: bool, True is the hole.
    """
    fill_Nx3 = completed_HxWx3[hole_HxW]
    if pixels.mode == "P":
        return _repaired_palette(pixels, fill_Nx3, hole_HxW)
    values = pixels.values.copy()
    if pixels.mode == "1":
        # Grays become a pattern of both, as they are in the rest of such a picture.
        gray = np.round(completed_HxWx3 @ _LUMA).astype(np.uint8)
        values[hole_HxW] = np.asarray(Image.fromarray(gray).convert("1"))[hole_HxW]
    elif pixels.mode in ("L", "LA"):
        gray_N = np.round(fill_Nx3 @ _LUMA).astype(values.dtype)
        if pixels.mode == "L":
            values[hole_HxW] = _unlike(gray_N, pixels.transparency)
        else:
            values[..., 0][hole_HxW] = gray_N
    elif pixels.mode == "CMYK":
        row = Image.fromarray(fill_Nx3[None]).convert("CMYK")
        values[hole_HxW] = np.asarray(row)[0]
    elif isinstance(pixels.transparency, tuple):
        is_key = (fill_Nx3 == np.array(pixels.transparency)).all(-1)
        fill_Nx3 = np.where(is_key[:, None], fill_Nx3 ^ 1, fill_Nx3)
        values[hole_HxW] = fill_Nx3
    else:
        values[..., :3][hole_HxW] = fill_Nx3
    if pixels.mode in ("LA", "RGBA"):
        alpha = values[..., -1]
        alpha[hole_HxW & (alpha == 0)] = np.iinfo(values.dtype).max
    return dataclasses.replace(pixels, values=values)


def _unlike(gray_N: np.ndarray, key: object) -> np.ndarray:
    """Values that are not the one which means transparent."""
    return np.where(gray_N == key, gray_N ^ 1, gray_N) if isinstance(key, int) else gray_N


def _repaired_palette(pixels: Pixels, fill_Nx3: np.ndarray, hole_HxW: np.ndarray) -> Pixels:
    """New colours where no known pixel needs the old, then each pixel the nearest colour."""
    assert pixels.palette is not None
    count = len(pixels.palette)
    palette = np.zeros((_COLOURS, 3), np.uint8)
    palette[:count] = pixels.palette
    opaque = _opaque_colours(pixels)
    used = np.bincount(pixels.values[~hole_HxW], minlength=_COLOURS) > 0
    free = np.flatnonzero(~used & opaque)
    known = np.flatnonzero(used & opaque)
    if not len(free) + len(known):
        raise UserError("the photograph's palette has no opaque colour; save it as RGB")
    if len(free):
        row = Image.fromarray(np.ascontiguousarray(fill_Nx3[None]))
        quantised = row.quantize(len(free), method=Image.Quantize.MEDIANCUT)
        colours = np.array(quantised.getpalette("RGB"), np.uint8).reshape(-1, 3)
        free = free[: len(colours)]
        palette[free] = colours[: len(free)]
    choice = np.concatenate([known, free])
    values = pixels.values.copy()
    values[hole_HxW] = choice[_nearest(fill_Nx3, palette[choice])]
    return dataclasses.replace(
        pixels, values=values, palette=palette[: max(count, int(values.max()) + 1)]
    )


def _opaque_colours(pixels: Pixels) -> np.ndarray:
    """bool opaque_256 of a palette's colours."""
    opaque = np.ones(_COLOURS, bool)
    if isinstance(pixels.transparency, int):
        opaque[pixels.transparency] = False
    elif isinstance(pixels.transparency, bytes):
        alphas = np.frombuffer(pixels.transparency, np.uint8)[:_COLOURS]
        opaque[: len(alphas)] = alphas == 255
    return opaque


def _nearest(fill_Nx3: np.ndarray, palette_Mx3: np.ndarray) -> np.ndarray:
    """int indices_N of the nearest colours."""
    colours_Kx3, inverse_N = np.unique(fill_Nx3, axis=0, return_inverse=True)
    wanted, known = colours_Kx3.astype(np.float32), palette_Mx3.astype(np.float32)
    found = []
    for first in range(0, len(wanted), 4096):
        away = ((wanted[first : first + 4096, None] - known[None]) ** 2).sum(-1)
        found.append(away.argmin(1))
    return np.concatenate(found)[inverse_N.reshape(-1)] if found else np.zeros(0, int)


def to_mode(pixels: Pixels, mode: str) -> Image.Image:
    """A Pillow image of the values, converted to another mode if need be.

    Args:
        pixels: the values.
        mode: one of Pillow's; alpha that it can't hold is laid on white.
    """
    values = np.ascontiguousarray(pixels.values)
    if mode == "I;16" or (mode == pixels.mode and values.dtype != np.uint16):
        return _as_it_is(pixels, values)
    rgb, alpha = pixels.as_rgb()
    if rgb.dtype == np.uint16:
        rgb = np.round(rgb / 257).astype(np.uint8)
        alpha = None if alpha is None else np.round(alpha / 257).astype(np.uint8)
    if alpha is None or mode in ("RGBA", "LA"):
        whole = rgb if alpha is None else np.dstack([rgb, alpha])
        return Image.fromarray(np.ascontiguousarray(whole)).convert(mode)
    share = alpha[..., None].astype(np.float32) / 255
    on_white = np.round(rgb * share + 255 * (1 - share)).astype(np.uint8)
    return Image.fromarray(on_white).convert(mode)


def _as_it_is(pixels: Pixels, values: np.ndarray) -> Image.Image:
    if pixels.mode == "CMYK":
        return Image.frombuffer("CMYK", values.shape[1::-1], values, "raw", "CMYK", 0, 1)
    image = Image.fromarray(values)
    if pixels.palette is not None:
        image.putpalette(pixels.palette.tobytes(), "RGB")  # gray becomes P
    if pixels.transparency is not None:
        image.info["transparency"] = pixels.transparency
    return image
