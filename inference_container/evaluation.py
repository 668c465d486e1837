"""`python -m inference_container.evaluation --data DIR --model BUNDLE`: quality on labelled photos at their own size.

Each photo goes through the serving path: `to_model_size`, forward, class per pixel at model size, nearest upsampling.
The last line of the output is one JSON object: per set, source and size of what is shown foreground IoU, IoU per class,
cats told from dogs, time. `--pictures DIR` draws the photos it did best and worst on. `--bootstrap N` says how sure the
figures of the test photos are, by drawing the photos N times again.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inference_container import bundle, resample
from inference_container.preprocess import to_model_size
from inference_container.readout import class_ids
from inference_container.training import pictures
from inference_container.training.dataset import CLASSES, Bytes, Entry, entries, lookup

IGNORE = 255
_SPECIES = {"cat": CLASSES.index("cat"), "dog": CLASSES.index("dog")}
_SEED = 1
_MIDDLE = (0.025, 0.975)  # 95 of 100 lie between
_SIZES = {"small": 0.15, "middle": 0.4, "large": 1.0}  # share of the photo that its foreground takes, at most


@torch.inference_mode()
def predict(model: bundle.LoadedModel, image: Image.Image) -> Bytes:
    """Class per pixel, uint8 (h, w), of an upright RGB photo at its own size."""
    pixels = torch.from_numpy(to_model_size(image, model.manifest.input_size, resample.resize).copy()).permute(2, 0, 1)[
        None
    ]
    small = Image.fromarray(class_ids(model.module(pixels), model.manifest.output_stride)[0].numpy())
    return np.asarray(small.resize((image.width, image.height), Image.Resampling.NEAREST))


def truth(entry: Entry) -> Bytes:
    """Class per pixel as the set labels it, 255 where it says nothing; an unlabelled person is background."""
    bits = lookup(entry.set_name)
    lowest = [int(value & -value).bit_length() - 1 for value in bits.astype(int)]
    table = np.where(bits == 0b1111, IGNORE, lowest).astype(np.uint8)
    with Image.open(entry.mask) as file:
        return np.take(table, np.asarray(file))


@dataclass
class Tally:
    """Pixel counts by (true class, found class) over some photos, and cats and dogs told apart among them."""

    photos: int = 0
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(CLASSES), len(CLASSES)), np.int64))
    species: int = 0
    species_right: int = 0

    def add(self, label: str, true: Bytes, found: Bytes) -> None:
        """Count one photo; `label` is its class in `split.csv`."""
        known = true != IGNORE
        codes = true[known].astype(np.int64) * len(CLASSES) + found[known]
        self.pixels += np.bincount(codes, minlength=len(CLASSES) ** 2).reshape(self.pixels.shape)
        self.photos += 1
        if label in _SPECIES:
            self.species += 1
            self.species_right += int(_majority(found) == _SPECIES[label])

    def report(self) -> dict[str, Any]:
        """Foreground IoU and mean IoU of foreground and background (both pooled), IoU per class, species accuracy."""
        foreground, background = self._binary()
        result: dict[str, Any] = {
            "photos": self.photos,
            "foregroundIoU": _rounded(foreground),
            "mIoU": _rounded((foreground + background) / 2),
            "classIoU": {name: _rounded(self._iou(i)) for i, name in enumerate(CLASSES) if self.pixels[i].any()},
        }
        if self.species:
            result["speciesAccuracy"] = _rounded(self.species_right / self.species)
        return result

    def _binary(self) -> tuple[float, float]:
        miss, false = int(self.pixels[1:, 0].sum()), int(self.pixels[0, 1:].sum())
        both, neither = int(self.pixels[1:, 1:].sum()), int(self.pixels[0, 0])
        wrong = miss + false
        return both / max(both + wrong, 1), neither / max(neither + wrong, 1)

    def _iou(self, index: int) -> float:
        right = int(self.pixels[index, index])
        return right / max(int(self.pixels[index].sum() + self.pixels[:, index].sum()) - right, 1)


def _majority(found: Bytes) -> int:
    """The pet with the larger area in the mask; background if there is none."""
    counts = np.bincount(found.ravel(), minlength=len(CLASSES))
    best = max(_SPECIES.values(), key=lambda index: int(counts[index]))
    return best if counts[best] else 0


def _rounded(value: float) -> float:
    return round(value, 4)


@dataclass(frozen=True)
class Answer:
    """Class per pixel of one photo, as labelled and as found, and the seconds from decoded photo to mask."""

    entry: Entry
    true: Bytes
    found: Bytes
    seconds: float


def answers(model: bundle.LoadedModel, photos: Iterable[Entry]) -> Iterator[Answer]:
    for entry in photos:
        with Image.open(entry.image) as file:
            image = file.convert("RGB")
        start = time.perf_counter()
        found = predict(model, image)
        seconds = time.perf_counter() - start
        yield Answer(entry, truth(entry), found, seconds)


def evaluate(model: bundle.LoadedModel, photos: Iterable[Entry]) -> dict[str, Any]:
    return reported(answers(model, photos))


def bootstrapped(given: Iterable[Answer], samples: int) -> dict[str, dict[str, list[float]]]:
    """Per set and source, where foreground IoU and mean IoU lie in 95 of 100 draws of as many photos, with repeats."""
    photos: defaultdict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for one in given:
        tally = Tally()
        tally.add(one.entry.label, one.true, one.found)
        for key in (one.entry.set_name, f"{one.entry.set_name}/{one.entry.source}"):
            photos[key].append(tally.pixels)
    return {key: _interval(np.stack(photos[key]), samples) for key in sorted(photos)}


def _interval(pixels: NDArray[np.int64], samples: int) -> dict[str, list[float]]:
    """`pixels`: the counts of each photo."""
    count, rng = len(pixels), np.random.default_rng(_SEED)
    times = rng.multinomial(count, np.full(count, 1 / count), samples)  # each photo is drawn, (samples, photos)
    drawn = [Tally(count, one).report() for one in np.tensordot(times, pixels, 1)]
    figures = {name: [row[name] for row in drawn] for name in ("foregroundIoU", "mIoU")}
    return {name: [_rounded(float(np.quantile(rows, q))) for q in _MIDDLE] for name, rows in figures.items()}


def reported(given: Iterable[Answer]) -> dict[str, Any]:
    """Report per set, set/source and set/size, and the mean time of decoded photo to mask in ms."""
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    seconds: list[float] = []
    for one in given:
        seconds.append(one.seconds)
        name = one.entry.set_name
        for key in (name, f"{name}/{one.entry.source}", f"{name}/{_size(one.true)}"):
            tallies[key].add(one.entry.label, one.true, one.found)
    report: dict[str, Any] = {key: tallies[key].report() for key in sorted(tallies)}
    report["millisecondsPerPhoto"] = _rounded(1000 * sum(seconds) / max(len(seconds), 1))
    return report


def judged(given: Iterable[Answer]) -> Iterator[pictures.Judged]:
    """Every photo with its own foreground IoU."""
    for one in given:
        tally = Tally()
        tally.add(one.entry.label, one.true, one.found)
        yield tally.report()["foregroundIoU"], one.entry, one.true, one.found


def _size(true: Bytes) -> str:
    """Of what the photo shows: small, middle or large."""
    share = np.count_nonzero((true > 0) & (true != IGNORE)) / true.size
    return next(name for name, most in _SIZES.items() if share <= most)


def test_photos(data: Path) -> Iterator[Entry]:
    """The test splits of pets and people, as far as `data` holds them."""
    for name in ("pets", "people"):
        if (data / name / "split.csv").exists():
            yield from entries(data, name, "test")


def original_photos(data: Path) -> Iterator[Entry]:
    """Test photos at full resolution (`data/originals`), those of known sets."""
    root, index = data / "originals", data / "originals" / "originals.csv"
    if not index.exists():
        return
    with index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            set_name, name = row["name"].split("/")
            if set_name in ("pets", "people"):
                image, mask = (root / set_name / f"{name}.{ext}" for ext in ("jpg", "png"))
                yield Entry(set_name, name, row["class"], row["source"], image, mask)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and print the report."""
    parser = argparse.ArgumentParser(prog="python -m inference_container.evaluation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pets/, people/ and originals/")
    parser.add_argument("--model", type=Path, default=bundle.STARTER, help="bundle; the starter model if left out")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the best and worst test photos")
    parser.add_argument("--bootstrap", type=int, default=0, metavar="N", help="intervals from N draws of the photos")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = bundle.load(options.model)
    report: dict[str, Any] = {"model": f"{model.manifest.name} {model.manifest.version}"}
    test = list(answers(model, test_photos(options.data)))  # 0.2 GB
    report["test"] = reported(test)
    if options.bootstrap:
        report["bootstrap"] = {"samples": options.bootstrap} | bootstrapped(test, options.bootstrap)
    report["originals"] = evaluate(model, original_photos(options.data))
    if options.pictures:
        for path in pictures.draw(judged(test), model.manifest.classes, options.pictures):
            print(path)
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
