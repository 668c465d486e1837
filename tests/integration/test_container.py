"""A container on its own: photos over HTTP, real process, real photos."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.integration.containers import NAMES, PATIENCE, Container, broken_bundle, photo, sideways, started

STARTER = Path(__file__).parents[2] / "inference_container" / "models" / "starter"


@pytest.fixture(name="container", scope="module")
def running() -> Iterator[Container]:
    with started() as container:
        container.wait_ready()
        yield container


def segment(container: Container, data: bytes) -> httpx.Response:
    return httpx.post(container.url + "/v1/segment", content=data, timeout=PATIENCE)


def mask_of(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(BytesIO(answer.content))


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_comes_back_as_a_mask_of_its_size(container: Container, name: str) -> None:
    answer = segment(container, photo(name))
    height, width = getattr(skimage.data, name)().shape[:2]
    assert mask_of(answer).size == (width, height)
    manifest = json.loads((STARTER / "model.json").read_text())
    assert answer.headers["x-model-version"] == f"{manifest['name']}/{manifest['version']}"
    assert {"decode", "batchWait", "forward", "encode", "total"} <= set(
        json.loads(answer.headers["x-maskline-timings"])
    )


def test_the_mask_of_a_cat_says_cat(container: Container) -> None:
    mask = np.asarray(mask_of(segment(container, photo("chelsea"))))
    names = [one["name"] for one in json.loads((STARTER / "model.json").read_text())["classes"]]
    assert mask.max() < len(names)
    assert names[int(np.bincount(mask.ravel(), minlength=2)[1:].argmax()) + 1] == "cat"


def test_a_photo_taken_sideways_has_an_upright_mask(container: Container) -> None:
    width, height = Image.open(BytesIO(photo("coffee"))).size
    assert mask_of(segment(container, sideways(photo("coffee")))).size == (height, width)


async def _all(container: Container, bodies: list[bytes]) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        posts = [client.post(container.url + "/v1/segment", content=body) for body in bodies]
        return await asyncio.gather(*posts)


def test_garbage_among_good_photos_harms_nobody_else(container: Container) -> None:
    good = [photo(NAMES[at % len(NAMES)]) for at in range(31)]
    answers = asyncio.run(_all(container, [*good[:15], b"not a photo at all", *good[15:]]))
    assert [answer.status_code for answer in answers] == [200] * 15 + [400] + [200] * 16
    error = answers[15].json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"] == [{"reason": "UNSUPPORTED_MEDIA"}]


def test_equal_photos_have_equal_masks_whatever_shares_their_batch(container: Container) -> None:
    answers = asyncio.run(_all(container, [photo("chelsea")] * 5 + [photo("coffee")] * 5))
    masks = [np.asarray(mask_of(answer)) for answer in answers]
    for mask in masks[1:5]:
        assert np.mean(mask != masks[0]) < 0.001  # other sums of floats: a border pixel may fall otherwise


def test_a_photo_that_is_too_large_is_refused_before_it_is_read(container: Container) -> None:
    answer = segment(container, b"\xff\xd8\xff" + bytes(20 << 20))
    assert answer.status_code == 413
    assert answer.json()["error"]["details"] == [{"reason": "TOO_LARGE"}]


def test_an_instance_alone_has_no_queue(container: Container) -> None:
    assert httpx.post(container.url + "/push", content=b"{}").status_code == 404


def test_metrics_count_photos_batches_and_the_cold_start(container: Container) -> None:
    segment(container, photo())
    lines = httpx.get(container.url + "/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['maskline_photos_total{outcome="succeeded"}']) >= 1
    assert float(values["maskline_batch_photos_count"]) >= 1
    assert float(values["maskline_in_flight"]) == 0
    assert all(float(values[f'maskline_cold_start_seconds{{phase="{name}"}}']) > 0 for name in ("import", "weights"))
    assert "maskline_process_resident_memory_bytes" in values


def test_a_full_instance_says_when_to_come_back() -> None:
    with started(MASKLINE_CONCURRENCY="1") as container:
        container.wait_ready()
        answers = asyncio.run(_all(container, [photo("coffee")] * 12))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        assert all(answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_a_photo_that_comes_while_the_model_loads_waits_for_it_and_pays_for_it() -> None:
    with started() as container:
        while container.process.poll() is None:
            try:
                answer = segment(container, photo())
                break
            except httpx.ConnectError:
                continue
        assert mask_of(answer).size == (451, 300)
        assert json.loads(answer.headers["x-maskline-timings"])["coldStart"] > 0


def test_a_container_ends_well_when_told_to() -> None:
    with started() as container:
        container.wait_ready()
        assert container.stop() == 0
        assert container.process.stderr is not None
        assert container.process.stderr.read() == ""


def test_a_broken_bundle_ends_the_container_with_one_line(tmp_path: Path) -> None:
    folder = broken_bundle(tmp_path / "broken", STARTER)
    with started("--model", str(folder)) as container:
        _, complaint = container.process.communicate(timeout=PATIENCE)
        assert container.process.returncode not in (0, None)
        assert complaint == "model.safetensors is not the file that model.json describes: its sha256 differs\n"
