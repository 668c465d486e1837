"""Benchmarks of the network's forward: what they compare is the same network, and what they cannot do they say."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import forward, known, variant, variants
from benchmarks.ceiling import Rate, Watch
from benchmarks.known_loop import Loop, small
from benchmarks.known_networks import BUILDERS, folded
from benchmarks.masks import agreement, pixels
from benchmarks.photos import photos
from benchmarks.variant_quality import agreement as equal
from benchmarks.variant_quality import labelled, points, scored
from inference_container.training.dataset import entries
from tests.unit.test_training import toy_set


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(name="folder")
def with_photos(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    variant.keep(tmp_path / variant.PHOTOS, draw.integers(0, 255, (3, 32, 64, 3), np.uint8))
    return tmp_path


def answered(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO("speed 2 0\nmaps\n"))
    variant.answer(name, folder)
    return capsys.readouterr().out.splitlines()


def test_a_variant_says_when_it_started_how_fast_it_is_and_what_it_sees(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [answered(name, folder, monkeypatch, capsys) for name in ("trained", "folded")]
    started, speed, masks = (json.loads(line) for line in found[0])
    assert started["cpu_s"] > 0
    assert speed["cpu_ms"] > 0
    assert masks == {}
    maps = [variant.kept(folder / name)[:] for name in ("trained", "folded")]
    assert maps[0].shape == (3, 32, 64)
    assert equal(*maps)["equal_pixels_worst"] > 0.99


def test_folding_leaves_nothing_to_normalise_and_training_does(tmp_path: Path) -> None:
    counts = []
    for load in (variant.trained, variant.folded):
        network = load(tmp_path)
        assert isinstance(network, nn.Module)
        counts.append(sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()))
    assert counts[0] > 0 == counts[1]


def test_without_a_compiler_what_is_compiled_is_skipped_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not set(variants.available()) & set(variants.COMPILED)
    said = capsys.readouterr().err
    assert all(f"{name}: skipped" in said for name in variants.COMPILED)
    assert "no-such-compiler" in said


def test_what_is_shipped_is_the_bundle_and_a_cache_or_the_package(tmp_path: Path) -> None:
    cache = tmp_path / variants.CACHE / "inductor" / "ab"
    cache.mkdir(parents=True)
    (cache / "kernel.so").write_bytes(bytes(2_000_000))
    (tmp_path / variant.PACKAGE).write_bytes(bytes(1_000_000))
    sizes = {name: variants.shipped(tmp_path, name) for name in ("trained", "inductor", "package")}
    assert sizes["inductor"] == pytest.approx(sizes["trained"] + 2)
    assert sizes["package"] == pytest.approx(1, abs=0.1)


def test_a_variant_is_compared_with_the_reference_of_the_same_round() -> None:
    rounds = [
        {"trained": {"start_s": own}, "folded": {"start_s": other}}
        for own, other in ((2.0, 4.0), (4.0, 4.0), (3.0, 9.0))
    ]
    figures = variants.of_variant(rounds, "folded")
    assert figures["start_s"] == {"median": 4, "min": 4, "max": 9}
    assert figures["start_s_ratio"] == {"median": 2, "min": 1, "max": 3}


def test_labelled_photos_have_the_made_ones_shape_and_are_scored_by_set(tmp_path: Path) -> None:
    rows = [(f"cat{i}", "cat", "test", "toy") for i in range(3)]
    toy_set(tmp_path, "pets", rows, (1,))
    assert list(labelled(tmp_path, (32, 96), 64)) == []
    chosen = list(labelled(tmp_path, (64, 64), 64))
    assert [entry.name for entry in chosen] == [entry.name for entry in entries(tmp_path, "pets", "test")]
    right = np.stack([np.asarray(Image.open(entry.mask)) * 2 for entry in chosen]).astype(np.uint8)
    scores = {"trained": scored(chosen, right), "other": scored(chosen, right * 0)}
    assert scores["trained"] == {"pets": 1.0}
    assert points(scores, "trained", "trained")["miou_points"] == {"pets": 0}
    assert points(scores, "other", "trained")["miou_points"]["pets"] < -50
    assert points({"trained": {}}, "trained", "trained") == {}


@pytest.mark.parametrize("name", BUILDERS)
def test_the_known_networks_have_the_studys_arithmetic(name: str) -> None:
    network, work = folded(BUILDERS[name]()), 0

    def count(conv: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal work
        work += output.numel() * conv.weight[0].numel()

    for part in network.modules():
        assert not isinstance(part, nn.BatchNorm2d)
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(count)
    with torch.inference_mode():
        answer = network(torch.zeros((1, 3, 256, 256), dtype=torch.uint8))
    assert answer.shape == (1, 4, 128, 128)
    assert work / 1e9 == pytest.approx(1.09, abs=0.005)


@pytest.fixture(name="photo")
def making() -> bytes:
    return next(photos(1, ((320, 240),)))


def test_the_known_loop_decodes_runs_and_encodes_a_whole_mask(photo: bytes) -> None:
    loop = Loop([photo], folded(BUILDERS["dense"]()))
    answer = loop.answer("loop", 0.01)
    assert answer["count"] >= 1
    assert all(seconds > 0 for seconds in answer["stages"].values())
    decoded, size = small(photo)
    assert (decoded.shape, size) == ((256, 256, 3), (320, 240))
    mask = pixels(loop.mask(0, size))
    assert mask.shape == (240, 320)
    assert agreement(mask, pixels(loop.mask(0, size))) == 1


def test_a_window_counts_photos_and_the_seconds_of_its_own_stages() -> None:
    watch = Watch()
    watch.timed("decode", lambda: None)
    found = watch.window(lambda: watch.timed("encode", lambda: 3), 0.01)
    assert found["count"] % 3 == 0 < found["count"]
    assert found["stages"]["decode"] == 0 < found["stages"]["encode"] <= found["seconds"]


def test_ours_is_compared_at_its_best_batch_and_one_by_one_within_each_round() -> None:
    def rate(images: float) -> Rate:
        return Rate(images, 1000 / images, {"forward": 1.0})

    rows = [
        {
            name: rate(images)
            for name, images in zip(
                ("separable", "dense", "ours_batch_1", "ours_batch_4", "ours_batch_8"), row, strict=True
            )
        }
        for row in ((10, 20, 30, 40, 20), (10, 20, 20, 30, 50), (10, 20, 30, 30, 30))
    ]
    figures = known.summary(rows)
    assert figures["over_separable"]["best"] == {"median": 4, "min": 3, "max": 5}
    assert figures["over_separable"]["batch_1"] == {"median": 3, "min": 2, "max": 3}
    assert figures["over_dense"]["cpu_batch_1"]["median"] == pytest.approx(1.5)
    assert figures["over_dense"]["cpu_best"]["max"] == pytest.approx(2.5)


@pytest.fixture(name="results")
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("benchmarks.report.RESULTS", tmp_path)
    return tmp_path


def test_the_forward_is_timed_by_batch_and_has_no_graph_on_a_cpu(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forward.main(["--rounds", "2", "--seconds", "0.01", "--batches", "1", "3", "--size", "64"])
    row = json.loads((results / "forward.jsonl").read_text())
    assert row == json.loads(capsys.readouterr().out)
    assert (row["device"], row["shape"]) == ("cpu", [64, 64])
    assert list(row["batches"]) == ["1", "3"]
    for figures in row["batches"].values():
        assert set(figures) == {"kernels_ms", "kernels_cpu_ms", "whole_ms", "whole_cpu_ms"}
        assert 0 < figures["whole_ms"]["min"] <= figures["whole_ms"]["median"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_graph_is_timed_too(results: Path) -> None:
    forward.main(["--device", "cuda", "--rounds", "1", "--seconds", "0.01", "--batches", "2"])
    row = json.loads((results / "forward.jsonl").read_text())
    assert {"graph_ms", "graph_cpu_ms", "capture_ms"} < set(row["batches"]["2"])
