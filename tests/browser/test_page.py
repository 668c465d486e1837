"""The page in a real browser, on a real stack."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from local.samples import prepare
from tests.browser.chromium import EXECUTABLE, chromium
from tests.e2e.stacks import Stack, stack

pytestmark = pytest.mark.browser

PATIENCE = 60_000.0  # ms; the first photo also pays for the cold start
PHONE = ViewportSize(width=360, height=740)  # px
PAINTED = """() => {
  const canvas = document.querySelector("#mask");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, place) => place % 4 === 3 && value > 0);
}"""
DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(name="running", scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not EXECUTABLE.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("needs Chromium: apt-get install chromium")
    with stack(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(name="browser", scope="module")
def launched(running: Stack) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(name="page")
def opened(browser: Browser, running: Stack) -> Iterator[Page]:
    """A browser that has never been here; whatever it complained about fails the test."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(running.url)
    yield page
    page.close()
    assert complaints == []


def pick(page: Page, name: str) -> None:
    page.get_by_role("button", name=f"Segment the sample {name}").click()
    see(page, name)


def see(page: Page, name: str) -> None:
    """The large view shows the photo with its mask."""
    page.locator(f'#viewer[data-state="SUCCEEDED"]:has-text("{name}") .frame[data-masked="true"]').wait_for()


def test_a_sample_becomes_a_mask_that_lasts(page: Page) -> None:
    pick(page, "cat.jpg")
    assert page.evaluate(PAINTED)
    expect(page.locator("#facts")).to_contain_text("451 × 300")
    expect(page.locator("#steps [data-status=past]")).not_to_have_count(0)
    expect(page.locator("#steps [data-status=current]")).to_have_count(0)
    expect(page.locator("#total")).to_have_text(re.compile(r"\d"))
    assert page.locator("#paid").inner_text()
    page.get_by_role("button", name="Good").click()
    expect(page.locator("#thanks")).to_have_text("Thank you, noted.", timeout=PATIENCE)
    shown = page.locator("#viewer").get_attribute("data-id")
    page.reload()
    see(page, "cat.jpg")
    assert page.locator("#viewer").get_attribute("data-id") == shown
    assert page.evaluate(PAINTED)
    expect(page.get_by_role("button", name="Good")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the mask").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_classes_are_named_under_the_pointer_and_can_be_hidden(page: Page) -> None:
    pick(page, "cat.jpg")
    page.locator("#frame").hover()
    expect(page.locator("#tip")).to_have_text("cat")
    shown = page.locator("#classes input:checked")
    for _ in range(shown.count()):
        shown.first.focus()
        page.keyboard.press("Space")
    assert not page.evaluate(PAINTED)


def test_a_turned_photo_is_upright(page: Page) -> None:
    pick(page, "cat-upright.jpg")
    expect(page.locator("#facts")).to_contain_text("1200 × 1600")
    box = page.locator("#frame").bounding_box()
    assert box is not None
    assert box["height"] / box["width"] == pytest.approx(4 / 3, rel=0.02)


def test_what_is_no_photo_is_refused_at_once(page: Page) -> None:
    page.evaluate(DROP, ["notes.txt", "dear diary"])
    expect(page.get_by_role("alert")).to_have_text(re.compile("notes.txt is not a photo"), timeout=PATIENCE)
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".notice")).to_have_count(0)


def test_a_damaged_photo_is_refused_with_a_sentence(page: Page, tmp_path: Path) -> None:
    photo = next(file for file in prepare(tmp_path) if file.name == "cat.jpg")
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(photo.read_bytes()[:900])
    page.locator("#files").set_input_files(damaged)
    page.locator('#viewer[data-state="REJECTED"]').wait_for()
    expect(page.locator("#state")).to_have_text("Not accepted")
    expect(page.locator("#now")).to_have_text("The file is cut off: its end is missing.")


def test_a_photo_can_be_cancelled_while_it_is_sent(page: Page) -> None:
    page.route("**/storage/upload/**", lambda route: None)  # an upload that never ends
    page.get_by_role("button", name="Segment the sample cat.jpg").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.locator('#viewer[data-state="CANCELLED"]').wait_for()
    expect(page.locator("#state")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    page.unroute_all(behavior="ignoreErrors")
    pick(page, "night-launch.jpg")


def test_several_photos_at_once_all_get_there(page: Page, tmp_path: Path) -> None:
    page.locator("#files").set_input_files(prepare(tmp_path))
    done = page.locator('#recent li[data-state="SUCCEEDED"]')
    for file in prepare(tmp_path):
        done.filter(has_text=file.name).first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, running: Stack, scheme: str) -> None:
    page = browser.new_page(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    page.goto(running.url)
    pick(page, "cat.jpg")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.close()
