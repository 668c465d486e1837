"""The photos a model did best and worst on, side by side: photo, label, mask. For looking at, outside the project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from inference_container.manifest import ClassInfo
from inference_container.preview import cover
from inference_container.training.dataset import Bytes, Entry

_EACH = 6  # photos on a sheet
_SIDE = 200  # px of a photo's larger side
_GAP = 4  # px

Judged = tuple[float, Entry, Bytes, Bytes]  # foreground IoU, photo, label, mask


def draw(judged: Iterable[Judged], colours: Sequence[ClassInfo], folder: Path) -> list[Path]:
    """One sheet of the best and one of the worst of every set: `SET-best.jpg`, `SET-worst.jpg`."""
    folder.mkdir(parents=True, exist_ok=True)
    by_set: dict[str, list[Judged]] = {}
    for row in judged:
        by_set.setdefault(row[1].set_name, []).append(row)
    drawn = []
    for name, rows in by_set.items():
        rows.sort(key=lambda row: row[0])
        for which, chosen in (("worst", rows[:_EACH]), ("best", rows[: -_EACH - 1 : -1])):
            drawn.append(folder / f"{name}-{which}.jpg")
            _sheet(chosen, colours).save(drawn[-1], quality=90)
    return drawn


def _sheet(rows: list[Judged], colours: Sequence[ClassInfo]) -> Image.Image:
    tile = _SIDE + _GAP
    sheet = Image.new("RGB", (3 * tile, len(rows) * tile), "white")
    write = ImageDraw.Draw(sheet)
    for line, (iou, entry, true, found) in enumerate(rows):
        with Image.open(entry.image) as file:
            photo = file.convert("RGB")
        columns = (photo, _painted(photo, true, colours), _painted(photo, found, colours))
        for column, picture in enumerate(columns):
            picture.thumbnail((_SIDE, _SIDE))
            sheet.paste(picture, (column * tile, line * tile))
        place = (2 * tile + _GAP, line * tile + _GAP)
        write.text(place, f"{iou:.2f} {entry.label}", "white", stroke_width=2, stroke_fill="black")
    return sheet


def _painted(photo: Image.Image, ids: Bytes, colours: Sequence[ClassInfo]) -> Image.Image:
    painted = photo.copy()
    cover(painted, Image.fromarray(ids), colours)
    return painted
