"""Photos and masks of several sets as one training set.

A target is a *set of possible classes*, one bit each: a pet photo's background may hide a person that nobody
labelled, so its pixels say "background or person", and an unlabelled border says "anything". Not so the other way
round: passers-by in the people photos are labelled background, and a network that may call them anything but a
person learns to call them cats.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]

CLASSES = ("background", "person", "cat", "dog")
BACKGROUND, PERSON, CAT, DOG = (1 << i for i in range(4))
ANYTHING = BACKGROUND | PERSON | CAT | DOG  # carries no loss

# mask value -> possible classes
LABELS: dict[str, dict[int, int]] = {
    "pets": {0: BACKGROUND | PERSON, 1: CAT, 2: DOG, 255: ANYTHING},
    "people": {0: BACKGROUND, 1: PERSON, 2: PERSON, 3: PERSON},
}

_HAIR = {"people": 3}  # its mask value

# How often a photo is drawn: dogs are 148 of 2,091, the feral cats 890 and less carefully outlined.
_DRAW = {"dog": 4.0, "cat": 1.5, "feral": 0.8, "person": 1.0}


@dataclass(frozen=True)
class Photo:
    """One photo in memory: `image` uint8 (h, w, 3), `target` uint8 (h, w) of class bits, `draw` its weight.

    `hair`: the box (left, top, right, bottom) around a person's, which says where a face is.
    """

    image: Image.Image
    target: Image.Image
    draw: float
    hair: Box | None = None


@dataclass(frozen=True)
class Entry:
    """One row of a set's `split.csv`, with the files it names."""

    set_name: str
    name: str
    label: str
    source: str
    image: Path
    mask: Path


def entries(data: Path, set_name: str, split: str) -> list[Entry]:
    """The rows of `data/set_name/split.csv` whose split is `split` (trainval or test), in file order."""
    root = data / set_name
    with (root / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [_entry(root, set_name, row) for row in rows]


def _entry(root: Path, set_name: str, row: dict[str, str]) -> Entry:
    image, mask = (root / folder / f"{row['name']}.{ext}" for folder, ext in (("images", "jpg"), ("masks", "png")))
    return Entry(set_name, row["name"], row["class"], row["source"], image, mask)


def lookup(set_name: str) -> Bytes:
    """256 entries: mask value of the set -> class bits. Values the set does not define carry no loss."""
    table = np.full(256, ANYTHING, np.uint8)
    for value, bits in LABELS[set_name].items():
        table[value] = bits
    return table


def load(data: Path, split: str = "trainval") -> list[Photo]:
    """Decode every photo of every known set found under `data`; about 0.6 GB for 2,091 photos."""
    found = [name for name in LABELS if (data / name / "split.csv").exists()]
    return [_photo(entry) for name in found for entry in entries(data, name, split)]


def _photo(entry: Entry) -> Photo:
    with Image.open(entry.image) as file:
        image = file.convert("RGB")
    with Image.open(entry.mask) as file:
        mask = Image.fromarray(np.asarray(file))  # its values, whatever colours they stand for
    target = mask.point(lookup(entry.set_name).tolist())
    hair = mask.point([int(value == _HAIR.get(entry.set_name)) for value in range(256)]).getbbox()
    return Photo(image, target, _DRAW.get(entry.source, _DRAW.get(entry.label, 1.0)), hair)
