"""Pillow's limit of pixels gives way to the caller's, on opening and on decoding."""

from __future__ import annotations

import threading

import pytest
from PIL import Image

from glcic_jax.files.image_opening import TooLarge, open_image, pillows_limit, unlimited


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_an_allowed_size_is_read_whatever_pillow_allows(suffix, photo, tmp_path, monkeypatch):
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(photo).save(path)
    pixels = photo[..., 0].size
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels // 3)
    with pytest.raises(TooLarge, match=f"--max-pixels {pixels}"):
        open_image(path)
    assert open_image(path, max_pixels=pixels).size == (120, 90)
    assert pixels // 3 == Image.MAX_IMAGE_PIXELS


def test_the_limit_comes_back_after_the_last_of_several_threads(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with unlimited():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with unlimited():
        thread.start()
        assert inside.wait(10)
    assert Image.MAX_IMAGE_PIXELS is None
    assert pillows_limit() == 1000
    leave.set()
    thread.join()
    assert Image.MAX_IMAGE_PIXELS == 1000
