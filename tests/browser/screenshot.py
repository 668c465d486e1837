"""`python -m tests.browser.screenshot [FILE]`: the page with a result, as the README shows it, from a real stack."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from tests.browser.chromium import chromium
from tests.e2e.stacks import stack

_FILE = Path(__file__).resolve().parents[2] / "docs" / "images" / "page.png"
_SAMPLES = ("photographer.png", "portrait.webp", "cat-upright.jpg", "astronaut.png", "cat-and-astronaut.jpg", "cat.jpg")
_WIDTH = 1400  # px
_PATIENCE = 120_000.0  # ms
_COLOURS = 128  # of the file: a photo in it would take a megabyte otherwise


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshot", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=_FILE)
    target = parser.parse_args().file
    with tempfile.TemporaryDirectory() as data, stack(Path(data)) as running, chromium() as browser:
        picture = shot(browser, running.url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)


def shot(browser: Browser, url: str) -> bytes:
    """One sample after the other, so that the last one, the selected one, is on top."""
    page = browser.new_page(viewport={"width": _WIDTH, "height": 900}, color_scheme="light", reduced_motion="reduce")
    page.set_default_timeout(_PATIENCE)
    page.goto(url)
    for name in _SAMPLES:
        page.get_by_role("button", name=f"Segment the sample {name}").click()
        page.locator(f'#viewer[data-state="SUCCEEDED"]:has-text("{name}") .frame[data-masked="true"]').wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(0, 0)
    return page.screenshot(full_page=True)


if __name__ == "__main__":
    main()
