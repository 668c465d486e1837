"""From a training checkpoint to an evaluated bundle: the averaged weights, classes, figures, lineage."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from inference_container.architectures import build, calibrated, output_stride
from inference_container.architectures.compact import MEAN, STD
from inference_container.bundle import ClassInfo, Manifest, load, save
from inference_container.evaluation import evaluate, original_photos, test_photos
from inference_container.preprocess import to_model_size
from inference_container.training import checkpoint
from inference_container.training.card import card
from inference_container.training.dataset import CLASSES, LABELS, entries
from inference_container.training.loop import STUDENT

# Colours that stay apart for colour-blind readers (Okabe and Ito) beside a black background.
COLORS = {"background": "#000000", "person": "#e69f00", "cat": "#56b4e9", "dog": "#cc79a7"}

_CALIBRATION = 200  # photos
START = "start"  # the bundle that a run began with, in its folder

ATTRIBUTIONS = (
    "Oxford-IIIT Pet (Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs, CVPR 2012), CC BY-SA 4.0; "
    "the copyright of the photos remains with their owners; adapted",
    "Feral cats (Paul M. Cashman, sponsored by the Cornell Feline Health Center, 2023), public domain as stated by "
    "the uploader, repository MIT; adapted",
    "Clothing Co-Parsing (Yang, Luo, Lin: Clothing Co-Parsing by Joint Image Segmentation and Labeling, CVPR 2014), "
    "Apache-2.0; adapted",
)


@dataclass(frozen=True)
class Origin:
    """How a run was made, kept beside its checkpoint as `run.json`."""

    architecture: str
    input_size: int  # px, of the last part of the run
    command: str
    commit: str
    start: dict[str, Any] | None = None  # version, sha256 and lineage of the bundle whose weights it began with
    blend: float = 1.0  # share of the run in the weights; the rest is the start's

    def write(self, run: Path) -> None:
        """Keep it in the run's folder."""
        (run / "run.json").write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, run: Path) -> Origin:
        """What `write` kept."""
        return cls(**json.loads((run / "run.json").read_text(encoding="utf-8")))


def export(run: Path, to: Path, data: Path, version: str) -> Manifest:
    """Bundle the checkpoint in `run` at `to`, with the figures of the written bundle on the test splits in `data`."""
    origin = Origin.read(run)
    network = build(origin.architecture, len(CLASSES))
    step = checkpoint.averaged(run / "state.safetensors", STUDENT, network)
    if origin.blend < 1:
        _blend(network, load(run / START, fold=False).module, origin.blend)
    described = _manifest(origin, version, output_stride(network), step)
    save(to, described, network)
    described = replace(described, spans=_spans(to, data, origin.input_size))
    save(to, described, network)
    model = load(to)
    metrics = {"test": evaluate(model, test_photos(data)), "originals": evaluate(model, original_photos(data))}
    written = save(to, replace(described, metrics=metrics), network)
    (to / "MODEL_CARD.md").write_text(card(written), encoding="utf-8")
    return written


def _blend(network: torch.nn.Module, start: torch.nn.Module, share: float) -> None:
    """Between where a run began and where it ended: keeps what it would forget (Wortsman et al., CVPR 2022)."""
    before = start.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name].to(value.dtype), 1 - share)


def _spans(written: Path, data: Path, size: int) -> dict[str, tuple[float, float]]:
    """Of the bundle as it is stored, over an even choice of the training photos."""
    found = [name for name in LABELS if (data / name / "split.csv").exists()]
    rows = [entry for name in found for entry in entries(data, name, "trainval")]
    chosen = rows[:: max(1, len(rows) // _CALIBRATION)]
    return calibrated(load(written).module, (_pixels(entry.image, size) for entry in chosen))


def _pixels(path: Path, size: int) -> torch.Tensor:
    with Image.open(path) as file:
        pixels = to_model_size(file.convert("RGB"), size)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


def _manifest(origin: Origin, version: str, stride: int, step: int) -> Manifest:
    return Manifest(
        name="starter",
        version=version,
        architecture=origin.architecture,
        classes=tuple(ClassInfo(index, name, COLORS[name]) for index, name in enumerate(CLASSES)),
        input_size=origin.input_size,
        output_stride=stride,
        normalization={"insideNetwork": True, "mean": list(MEAN), "std": STD},
        lineage={
            "data": ["pets trainval", "people trainval"],
            "attributions": list(ATTRIBUTIONS),
            "command": origin.command,
            "commit": origin.commit,
            "steps": step,
            **({"start": origin.start} if origin.start else {}),
        },
    )


def main(arguments: list[str] | None = None) -> None:
    """`python -m inference_container.training.export --run DIR --data DIR --to DIR`; works while a run goes on."""
    parser = argparse.ArgumentParser(prog="python -m inference_container.training.export", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the --out of a training run")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pets/, people/ and originals/")
    parser.add_argument("--to", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument("--version", default="1")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    written = export(options.run, options.to, options.data, options.version)
    print(json.dumps(dict(written.metrics)))


if __name__ == "__main__":
    main()
