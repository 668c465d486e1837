"""The benchmarks' own arithmetic: what counts, what is called wrong, and plots that are pictures."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmarks.load import Answer, Outcome, percentile
from benchmarks.masks import Masks
from benchmarks.plots import Bar, svg


def mask(pixels: list[list[int]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_latencies_are_those_of_one_status() -> None:
    answers = [Answer(0, 200, 0, 9.9), Answer(0, 200, 9, 10), Answer(0, 429, 10, 11), Answer(0, 200, 10, 12.5)]
    outcome = Outcome(answers=answers)
    assert outcome.statuses() == {200: 3, 429: 1}
    assert outcome.latencies() == pytest.approx([1, 2.5, 9.9])
    assert outcome.latencies(429) == pytest.approx([1])


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(100)]
    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 99]
    assert percentile([], 0.5) == 0


def test_a_mask_is_wrong_when_too_many_pixels_or_its_size_differ() -> None:
    right = [[0] * 20 for _ in range(20)]
    edge = [[1, *row[1:]] if at == 0 else row for at, row in enumerate(right)]
    half = [[1] * 20 if at < 10 else row for at, row in enumerate(right)]
    masks = Masks([mask(right)])
    assert [masks.wrong(0, mask(one)) for one in (right, edge, half, right[:10])] == [False, False, True, True]
    assert masks.worst == 0


def test_a_plot_is_well_formed_whatever_its_labels_say() -> None:
    drawn = svg("a < b & c", [Bar("p99 ÷ <p50>", 1.1, 1.0, 1.2, reach=1.15), Bar("nothing", 0, 0, 0)])
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert "a < b & c" in {element.text for element in root.iter()}
