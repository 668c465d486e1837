"""`python -m tests.browser.screenshot [FILE]`: the page with a result, as the README shows it, from a real stack."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser.chromium import chromium
from tests.e2e.stacks import stack

_FILE = Path(__file__).resolve().parents[2] / "docs" / "images" / "page.png"
_FIRST = "cat.jpg"  # pays for the cold start, and is shown in large
_OTHERS = ("photographer.png", "portrait.webp", "cat-upright.jpg", "astronaut.png", "cat-and-astronaut.jpg")
_WIDTH = 1400  # px
_PATIENCE = 120_000.0  # ms


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshot", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=_FILE)
    target = parser.parse_args().file
    with tempfile.TemporaryDirectory() as data, stack(Path(data)) as running, chromium() as browser:
        picture = shot(browser, running.url)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(small(picture))


def shot(browser: Browser, url: str) -> bytes:
    page = browser.new_page(viewport={"width": _WIDTH, "height": 900}, color_scheme="light", reduced_motion="reduce")
    page.set_default_timeout(_PATIENCE)
    page.goto(url)
    for name in (_FIRST, *_OTHERS):
        page.get_by_role("button", name=f"Segment the sample {name}").click()
        _see(page, name)
    page.locator("#recent button", has_text=_FIRST).click()
    _see(page, _FIRST)
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(0, 0)
    return page.screenshot(full_page=True)


def _see(page: Page, name: str) -> None:
    page.locator(f'#viewer[data-state="SUCCEEDED"]:has-text("{name}") .frame[data-masked="true"]').wait_for()


def small(png: bytes) -> bytes:
    """In 256 colours, which takes a third of the space."""
    with Image.open(io.BytesIO(png)) as image:
        reduced = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=3)
    file = io.BytesIO()
    reduced.save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
