"""Arrays by name from elsewhere: what they declare is not believed."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from glcic_jax.runtime.files import UNREADABLE, load_arrays, save_arrays


def test_arrays_come_back(tmp_path):
    save_arrays(tmp_path / "x.npz", {"a/b": np.arange(6.0).reshape(2, 3), "text": "é"})
    with (tmp_path / "x.npz").open("rb") as file:
        arrays = load_arrays(file)
    assert arrays["a/b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert str(arrays["text"]) == "é"


def archive(content: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("a.npy", content)
    return file


def declaring(header: dict, data: bytes) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + data


def test_an_array_of_terabytes_is_refused_before_there_is_room_for_it():
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    with pytest.raises(ValueError, match=r"a\.npy is cut short"):
        load_arrays(archive(declaring(header, bytes(64))))


def test_a_file_that_grows_a_thousandfold_is_refused():
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**25,)}
    with pytest.raises(ValueError, match="would unpack to"):
        load_arrays(archive(declaring(header, bytes(2**27))))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, b"x" * 99])
def test_headers_that_are_none(content):
    with pytest.raises(UNREADABLE):
        load_arrays(archive(content))
