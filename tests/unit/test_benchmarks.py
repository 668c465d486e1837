"""The benchmarks' own arithmetic: what counts, what is called wrong, and plots that are pictures."""

from __future__ import annotations

import base64
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmarks import broker_beside, roofline
from benchmarks.broker_beside import Burst, Endpoint, Round, Steady, compared, first_arrivals, number_of, request
from benchmarks.load import Answer, Outcome, percentile
from benchmarks.masks import Masks
from benchmarks.plots import Bar, svg
from shared import envelope
from shared.errors import Misconfigured


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


def pushed(number: int) -> bytes:
    """What a push of the message with this number looks like."""
    message = json.loads(request([number]))["messages"][0]
    push = envelope.Push(base64.b64decode(message["data"]), message["attributes"], "1", "projects/p/subscriptions/s")
    return envelope.encode(push, "2026-01-01T00:00:00.000Z")


def test_the_roofline_counts_the_network_whatever_this_cpu_computes_in() -> None:
    work = roofline.counted()
    assert 1e8 < work.macs < 1e10
    assert 2 * 2.9e6 < work.weight_bytes < 2 * 3.1e6
    assert work.activation_bytes > work.weight_bytes / 2


def test_a_message_has_200_bytes_and_is_known_again_by_its_number() -> None:
    messages = json.loads(request(range(3)))["messages"]
    assert [len(base64.b64decode(message["data"])) for message in messages] == [200] * 3
    assert [number_of(pushed(number)) for number in (0, 7, 12_345)] == [0, 7, 12_345]


def test_what_is_not_the_benchmarks_own_message_has_no_number() -> None:
    tick = envelope.encode(envelope.Push(b"{}"), "2026-01-01T00:00:00.000Z")
    assert [number_of(body) for body in (tick, b"", b"not JSON")] == [-1, -1, -1]


def test_a_message_counts_when_it_came_first_and_again_as_repeated() -> None:
    arrivals = [(1.0, pushed(4)), (2.0, pushed(5)), (3.0, pushed(4)), (4.0, pushed(9)), (5.0, b"")]
    assert first_arrivals(arrivals, range(4, 7)) == ({4: 1.0, 5: 2.0}, 1)


def test_a_load_expects_numbers_that_no_earlier_one_had() -> None:
    endpoint = Endpoint()
    first = endpoint.expect(10)
    endpoint.arrivals.append((1.0, pushed(3)))
    second = endpoint.expect(5)
    assert not set(first) & set(second)
    assert endpoint.arrivals == []


def side(per_s: float, p99: float, lost: int = 0, repeated: int = 0) -> Round:
    return Round(Burst(2 * per_s, per_s, lost, 0), Steady([0.001] * 90 + [p99] * 10, 0, repeated))


def test_both_brokers_are_compared_within_each_round() -> None:
    ours = [side(4000, 0.01), side(2000, 0.03), side(3000, 0.02)]
    theirs = [side(1000, 0.1), side(1000, 0.1, lost=2), side(500, 0.1, repeated=3)]
    figures = compared({"broker": ours, "emulator": theirs})
    assert figures["burst_ratio"] == {"median": 4, "min": 2, "max": 6}
    assert figures["p99_ratio"] == {"median": 0.2, "min": 0.1, "max": 0.3}
    assert figures["p50_ms"]["broker"]["median"] == 1
    assert figures["delivered_per_s"]["emulator"] == {"median": 1000, "min": 500, "max": 1000}
    assert figures["lost"] == {"broker": 0, "emulator": 2}
    assert figures["repeated"] == {"broker": 0, "emulator": 3}


def test_without_the_emulator_it_says_so_and_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: int) -> list[str]:
        raise Misconfigured("the emulators need Java 17")

    monkeypatch.setattr("local.emulators.pubsub_command", missing)
    monkeypatch.setattr("sys.argv", ["broker_beside"])
    broker_beside.main()
    assert capsys.readouterr().out == "skipped: the emulators need Java 17\n"
