"""How good the masks of `variants` are: beside those of the network as trained, and beside labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inference_container.evaluation import Tally, test_photos, truth
from inference_container.preprocess import to_model_size
from inference_container.shapes import target_shape
from inference_container.training.dataset import Bytes, Entry

LABELLED = 50  # photos of each set, at most


def labelled(data: Path, shape: tuple[int, ...], size: int) -> Iterator[Entry]:
    """An even choice of each set's test photos that have `shape` (w, h) at model size."""
    sets: dict[str, list[Entry]] = {}
    for entry in test_photos(data):
        with Image.open(entry.image) as file:
            if target_shape(*file.size, size) == shape:
                sets.setdefault(entry.set_name, []).append(entry)
    for found in sets.values():
        yield from found[:: -(-len(found) // LABELLED)]


def at_model_size(entry: Entry, size: int) -> Bytes:
    with Image.open(entry.image) as file:
        return to_model_size(file.convert("RGB"), size)


def agreement(found: Bytes, reference: Bytes) -> dict[str, float]:
    """Shares of equal pixels: of all photos together, and of the one where they differ most."""
    equal = (found == reference).mean((1, 2))
    return {"equal_pixels": round(float(equal.mean()), 5), "equal_pixels_worst": round(float(equal.min()), 5)}


def scored(entries: Sequence[Entry], maps: Bytes) -> dict[str, float]:
    """mIoU by set, at the photos' own size."""
    tallies: dict[str, Tally] = {}
    for entry, found in zip(entries, maps, strict=True):
        true = truth(entry)
        raised = Image.fromarray(found).resize(true.shape[::-1], Image.Resampling.NEAREST)
        tallies.setdefault(entry.set_name, Tally()).add(entry.label, true, np.asarray(raised))
    return {name: tally.report()["mIoU"] for name, tally in tallies.items()}


def points(scores: Mapping[str, dict[str, float]], name: str, reference: str) -> dict[str, Any]:
    """By how many hundredths of mIoU a variant is better than the reference, by set."""
    gained = {key: round(100 * (value - scores[reference][key]), 2) for key, value in scores[name].items()}
    return {"miou": scores[name], "miou_points": gained} if gained else {}
