"""The page in a real browser: paint, fill, download; on a phone; what it refuses; who else is told.

Needs Chromium and its driver; where they are missing, these tests are left out.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and "GLCIC_JAX_BROWSER" not in os.environ,
    reason="there is no chromium with chromedriver",
)

PHOTO = np.ascontiguousarray(skimage.data.astronaut()[:300, :400])


class Browser:
    """A headless Chromium that reaches this machine only, on the page."""

    def __init__(self, server, folder: Path, width: int, height: int, mobile: bool):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (
            "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
            "--disable-background-networking --disable-component-update --disable-sync"
        ).split():
            options.add_argument(flag)
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
        options.add_argument(f"--user-data-dir={folder / 'profile'}")
        options.add_argument(f"--window-size={width},{height}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.folder, self.server = folder, server
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        command = self.driver.execute_cdp_cmd
        place = {"behavior": "allow", "downloadPath": str(folder / "downloads")}
        command("Browser.setDownloadBehavior", place)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        command("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(server.address)
        self.wait(lambda: "megapixels" in self["limit"].text)

    def __getitem__(self, name: str):
        return self.driver.find_element(By.ID, name)

    def wait(self, done, seconds: float = 60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if done():
                return
            time.sleep(0.05)
        raise AssertionError(f"the page says {self['status'].text!r}")

    def open(self, array, name="photo.png"):
        path = self.folder / name
        Image.fromarray(array).save(path)
        self["photograph"].send_keys(str(path))
        self.wait(lambda: self["work"].is_displayed())

    def paint(self, *moves: tuple[int, int]):
        chain = ActionChains(self.driver).move_to_element(self["mask"]).click_and_hold()
        for move in moves:
            chain = chain.move_by_offset(*move)
        chain.release().perform()
        self.wait(lambda: self["fill"].is_enabled())

    def fill(self):
        self["fill"].click()
        self.wait(lambda: self["result"].is_displayed())

    def download(self, link: str, name: str) -> np.ndarray:
        """Click on what downloads the file `name`, which is taken away again."""
        path = self.folder / "downloads" / name
        self[link].click()
        self.wait(path.exists)
        done = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
        path.unlink()
        return done

    def errors(self):
        return [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def start(server, tmp_path):
    """Open the page in a new browser; all are closed at the end."""
    opened = []

    def start(name="a", width=1200, height=900, mobile=False):
        folder = tmp_path / name
        folder.mkdir()
        opened.append(Browser(server, folder, width, height, mobile))
        return opened[-1]

    yield start
    for browser in opened:
        browser.driver.quit()


def test_paint_fill_compare_download_and_go_on(start):
    page = start()
    page.open(PHOTO)
    assert not page["fill"].is_enabled()
    page.paint((40, 10), (30, -20))
    page.fill()
    assert "Filled in" in page["status"].text
    clip = "return document.getElementById('after').style.clipPath"
    before = page.driver.execute_script(clip)
    slide = (
        "e = document.getElementById('compare'); e.value = 90; e.dispatchEvent(new Event('input'))"
    )
    page.driver.execute_script(slide)
    assert page.driver.execute_script(clip) != before
    done = page.download("download", "photo-repaired.png")
    changed = (done != PHOTO).any(-1)
    assert 200 < changed.sum() < 5000
    rows, columns = np.nonzero(changed)
    assert rows.max() - rows.min() < 80
    assert columns.max() - columns.min() < 120

    page["go-on"].click()
    page.wait(lambda: page["work"].is_displayed())
    page.paint((-60, 40), (0, 30))
    page.fill()
    again = page.download("download", "photo-repaired.png")
    assert ((again != done).any(-1) & ~changed).sum() > 100
    assert (again == PHOTO).all(-1).mean() > 0.9, "known pixels are those of the photograph"
    names = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert all(name.startswith((page.server.address, "blob:")) for name in names), names
    assert page.errors() == []


def test_erase_undo_clear_and_masks_as_files(start):
    page = start()
    page.open(PHOTO)
    page.paint((50, 0))
    whole = page.download("mask-save", "mask.png")[..., 0] > 127
    assert whole.sum() > 300
    page["erase"].click()
    page.paint((25, 0))
    part = page.download("mask-save", "mask.png")[..., 0] > 127
    assert 0 < part.sum() < whole.sum()
    assert not (part & ~whole).any()
    page["undo"].click()
    page["undo"].click()
    assert not page["fill"].is_enabled()
    Image.fromarray(whole).save(page.folder / "mine.png")
    page["mask-file"].send_keys(str(page.folder / "mine.png"))
    page.wait(lambda: page["fill"].is_enabled())
    again = page.download("mask-save", "mask.png")[..., 0] > 127
    np.testing.assert_array_equal(again, whole)
    page["clear"].click()
    assert not page["undo"].is_enabled()
    assert page.errors() == []


def test_a_phone_sees_all_of_it_and_a_finger_paints(start):
    page = start(width=390, height=844, mobile=True)
    page.open(PHOTO)
    wide = "return document.documentElement.scrollWidth"
    assert page.driver.execute_script(wide) <= 390
    box = page["mask"].rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.driver.execute_cdp_cmd
    point = {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    touch("Input.dispatchTouchEvent", point)
    for step in range(1, 6):
        moved = {"type": "touchMove", "touchPoints": [{"x": x + 8 * step, "y": y + 3 * step}]}
        touch("Input.dispatchTouchEvent", moved)
    touch("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait(lambda: page["fill"].is_enabled())
    page.fill()
    assert page.driver.execute_script(wide) <= 390
    shown = page["download"].rect
    assert shown["x"] + shown["width"] <= 390
    assert page.errors() == []


def test_what_is_no_photograph_or_too_large_is_told(start):
    page = start()
    (page.folder / "text.png").write_text("no photograph")
    page["photograph"].send_keys(str(page.folder / "text.png"))
    page.wait(lambda: "text.png is no photograph" in page["status"].text)
    assert not page["work"].is_displayed()
    Image.fromarray(np.zeros((6000, 5000), np.uint8)).save(page.folder / "large.png")
    page["photograph"].send_keys(str(page.folder / "large.png"))
    page.wait(lambda: "30.0 megapixels; at most 24" in page["status"].text)
    page.open(PHOTO)
    mask = Image.fromarray(np.zeros((50, 400), np.uint8))
    mask.save(page.folder / "mask.png")
    page["mask-file"].send_keys(str(page.folder / "mask.png"))
    page.wait(lambda: "another shape" in page["status"].text)
    page["mask-file"].send_keys(str(page.folder / "text.png"))
    page.wait(lambda: "text.png is no picture" in page["status"].text)

    def broken(*_):
        raise RuntimeError

    page.server.filler = broken
    page.paint((20, 0))
    page["fill"].click()
    page.wait(lambda: "Something went wrong" in page["status"].text)
    page.server.filler = page.server.fill
    page.fill()


def test_two_at_once_get_their_own(start):
    pages = [start("one"), start("two")]
    photos = [PHOTO, np.ascontiguousarray(PHOTO[:, ::-1])]
    for page, photo in zip(pages, photos, strict=True):
        page.open(photo)
        page.paint((30, 0))
    for page in pages:
        page["fill"].click()
    for page, photo in zip(pages, photos, strict=True):
        page.wait(lambda page=page: page["result"].is_displayed())
        done = page.download("download", "photo-repaired.png")
        assert (done == photo).all(-1).mean() > 0.95


def test_a_photograph_of_20_megapixels(start):
    page = start()
    large = np.tile(PHOTO, (13, 13, 1))
    assert large.shape[0] * large.shape[1] > 20e6
    page.open(large, "large.jpg")
    page.paint((10, 0))
    page.fill()
    done = page.download("download", "large-repaired.png")
    wanted = np.asarray(Image.open(page.folder / "large.jpg"))
    same = (done == wanted).all(-1)
    assert done.shape == large.shape
    assert 0 < (~same).sum() < 60_000
