"""The state of a run as one safetensors file: network, its average, optimiser moments and the step number."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save(path: Path, step: int, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write atomically: a run that dies while writing keeps its last checkpoint."""
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": moments[key] for key in _MOMENTS}
    part = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in tensors.items()}, part, {"step": str(step)})
    part.replace(path)


def restore(path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Fill the three from `path` and return the step to go on with; 0 if there is no checkpoint yet."""
    if not path.exists():
        return 0
    tensors, step = _read(path)
    network.load_state_dict(_below(tensors, "network."))
    average.load_state_dict(_below(tensors, "average."))
    state = optimizer.state_dict()
    state["state"] = _moments(_below(tensors, "optimizer."))
    optimizer.load_state_dict(state)
    return step


def averaged(path: Path, network: nn.Module) -> int:
    """Fill `network` with the averaged weights in `path`; returns the steps they took."""
    tensors, step = _read(path)
    network.load_state_dict(_below(tensors, "average."))
    return step


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, int(file.metadata()["step"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _moments(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    return state
