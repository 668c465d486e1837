"""A network that learns: with its optimiser, and the average of its weights, which is what a run is for."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

DECAY = 0.05  # AdamW weight decay
_CLIP = 2.0  # largest gradient norm
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Learner:
    """Keeps `network` on `device`. `mixed`: convolutions in bf16; weights, averages and losses stay in fp32.

    Nothing here waits for the device.
    """

    def __init__(self, network: nn.Module, device: torch.device, mixed: bool) -> None:
        self._device, self._mixed = device, mixed
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: nn.Module = copy.deepcopy(self.network).eval()
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), weight_decay=DECAY, fused=device.type == "cuda" or None
        )
        self._now, self._mean = _floats(self.network), _floats(self.average)

    def logits(self, photos: Tensor) -> Tensor:
        """Of the network as it learns."""
        self.network.train()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            logits: Tensor = self.network(photos)
        return logits.float()

    @torch.no_grad()
    def opinion(self, photos: Tensor) -> Tensor:
        """Logits of the average: what others may learn from."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            logits: Tensor = self.average(photos)
        return logits.float()

    def learn(self, loss: Tensor, rate: float, keep: float) -> None:
        """One step down `loss`; the average keeps the share `keep` of what it was."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, self._now, 1 - keep)

    def state(self) -> dict[str, Tensor]:
        """Everything that `load` needs to go on."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": moments[key] for key in _MOMENTS}
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a `state`."""
        self.network.load_state_dict(below(tensors, "network."))
        self.average.load_state_dict(below(tensors, "average."))
        state = self._optimizer.state_dict()
        state["state"] = self._moments(below(tensors, "optimizer."))
        self._optimizer.load_state_dict(state)

    def _moments(self, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        """In the memory order of their parameters, as the fused step wants them."""
        state: dict[int, dict[str, Tensor]] = {}
        parameters = list(self.network.parameters())
        for key, value in tensors.items():
            index, name = key.split(".")
            like = parameters[int(index)]
            moment = value if name == "step" else torch.empty_like(like, requires_grad=False).copy_(value)
            state.setdefault(int(index), {})[name] = moment
        return state


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What is named `prefix`..., without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _floats(network: nn.Module) -> list[Tensor]:
    """Parameters and normalisation statistics, but no counters."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
