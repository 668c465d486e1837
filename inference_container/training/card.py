"""The model card, written from `model.json`: what the model is for, made of, and how good; nothing is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference_container.manifest import Manifest

_HEAD = "| photos | n | foreground IoU | mean IoU | per class | cat and dog told apart |\n|---|---|---|---|---|---|"
_LIMITS = """\
Trained from scratch on about 2,000 photos: street fashion for people, two cat breeds and feral cats, few dogs. Expect
less from other poses, crowds, small animals, night and drawings; a face that fills the photo may be called a dog. A pet
photo's people are not labelled in the data and the other way round, so photos that show both are the least tested. Not
for decisions about people: it finds pixels of a person, not who it is."""


def card(manifest: Manifest) -> str:
    """Markdown. Metrics and lineage are those of `training.export`."""
    lineage = manifest.lineage
    classes = ", ".join(f"{one.id} {one.name}" for one in manifest.classes)
    return "\n".join(
        [
            f"# {manifest.name} {manifest.version}",
            "",
            f"Semantic segmentation of photos into {classes}. Architecture `{manifest.architecture}`,",
            f"photos resized to about {manifest.input_size} x {manifest.input_size} px of area, logits at 1/"
            f"{manifest.output_stride} of that; weights in fp16.",
            "",
            "## How good",
            "Pooled over the photos' own pixels, through the serving path. `test`: the data sets' test splits, of",
            "which training saw nothing; `originals`: 36 of those photos at full resolution. Small, middle, large: the",
            "foreground takes up to 15 %, up to 40 %, or more of the photo.",
            "",
            *_tables(manifest.metrics),
            "",
            "## Made of",
            f"Data: {', '.join(lineage['data'])}. {lineage['steps']:,} steps at commit `{lineage['commit'][:12]}`:",
            "",
            "```",
            str(lineage["command"]),
            "```",
            "",
            *_began(lineage.get("start")),
            *[f"- {line}" for line in lineage["attributions"]],
            "",
            "The weights are licensed as CC BY-SA 4.0, as the data they were trained on asks for. No photo of the data",
            "ships with them.",
            "",
            "## Limits",
            _LIMITS,
            "",
        ]
    )


def _began(start: Mapping[str, Any] | None) -> list[str]:
    """The run before this one."""
    if start is None:
        return []
    before = start["lineage"]
    return [
        f"It began with version {start['version']} (`{start['sha256'][:12]}`): {before['steps']:,} steps",
        f"at commit `{before['commit'][:12]}`:",
        "",
        "```",
        str(before["command"]),
        "```",
        "",
        *_began(before.get("start")),
    ]


def _tables(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, report in metrics.items():
        lines += [f"### {name}", _HEAD, *(_row(key, row) for key, row in report.items() if isinstance(row, dict))]
        lines += ["", f"{report['millisecondsPerPhoto']:.1f} ms per decoded photo on one CPU thread.", ""]
    return lines[:-1]


def _row(name: str, row: Mapping[str, Any]) -> str:
    classes = ", ".join(f"{label} {iou:.3f}" for label, iou in row["classIoU"].items())
    species = f"{row['speciesAccuracy']:.3f}" if "speciesAccuracy" in row else ""
    return f"| {name} | {row['photos']} | {row['foregroundIoU']:.3f} | {row['mIoU']:.3f} | {classes} | {species} |"
