"""The state of a run as one safetensors file: networks, averages, optimiser moments and the step number."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from inference_container.training.learner import Learner, below


def save(path: Path, step: int, learners: dict[str, Learner]) -> None:
    """Write atomically: a run that dies while writing keeps its last checkpoint."""
    tensors = {
        f"{name}.{key}": value.cpu().contiguous()
        for name, learner in learners.items()
        for key, value in learner.state().items()
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, {"step": str(step)})
    part.replace(path)


def restore(path: Path, learners: dict[str, Learner]) -> int:
    """Fill the learners from `path` and return the step to go on with; 0 if there is no checkpoint yet."""
    if not path.exists():
        return 0
    tensors, step = _read(path)
    for name, learner in learners.items():
        learner.load(below(tensors, f"{name}."))
    return step


def averaged(path: Path, name: str, network: nn.Module) -> int:
    """Fill `network` with the averaged weights of learner `name` in `path`; returns the steps they took."""
    tensors, step = _read(path)
    network.load_state_dict(below(tensors, f"{name}.average."))
    return step


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, int(file.metadata()["step"])
