"""The training loop: AdamW, warm-up and cosine, an average of the weights, a checkpoint after each pass."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.utils.data import DataLoader

from inference_container.architectures import build, output_stride
from inference_container.training import checkpoint
from inference_container.training.dataset import CLASSES, Photo
from inference_container.training.draws import Draws, Plan
from inference_container.training.loss import log_weights, partial_label_loss

DECAY = 0.03  # AdamW weight decay
_WARM_UP = 0.03  # share of the steps
_AVERAGE = 0.999  # of the weights, per step, once warm
_CLIP = 2.0  # largest gradient norm

Say = Callable[[str], None]
Precision = Literal["fp32", "bf16"]  # of the convolutions; weights, averages and the loss stay in fp32


def learning_rate(share: float, peak: float) -> float:
    """Rate once `share` (0..1) of the steps is done: linear warm-up, then half a cosine down to 1 % of the peak."""
    if share < _WARM_UP:
        return peak * max(share / _WARM_UP, 0.01)
    falling = (share - _WARM_UP) / (1 - _WARM_UP)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * falling)))


class Run:
    """One training run; `train` goes on from the checkpoint in `out`, if there is one. `start`: weights to begin with,
    unfolded; without them random ones."""

    def __init__(
        self,
        architecture: str,
        photos: list[Photo],
        plan: Plan,
        out: Path,
        precision: Precision = "fp32",
        start: nn.Module | None = None,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.network = build(architecture, len(CLASSES))
        if start is not None:
            self.network.load_state_dict(start.state_dict())
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: nn.Module = copy.deepcopy(self.network).eval()
        self._optimizer = torch.optim.AdamW(self.network.parameters(), plan.rate, weight_decay=DECAY)
        self._table, self._plan, self._photos, self._out = log_weights(), plan, photos, out
        self._draws = Draws(photos, plan, output_stride(self.network))
        self._mixed = precision == "bf16"

    def train(self, workers: int, say: Say) -> nn.Module:
        """Run to the end of the plan and return the averaged network, in eval mode."""
        path = self._out / "state.safetensors"
        first = checkpoint.restore(path, self.network, self.average, self._optimizer)
        batches = DataLoader(self._draws, batch_size=None, sampler=range(first, len(self._draws)), num_workers=workers)
        losses: list[float] = []
        start = time.monotonic()
        for step, (photos, bits) in enumerate(batches, first):
            losses.append(self._step(step, photos, bits))
            if self._ends_pass(step):
                checkpoint.save(path, step + 1, self.network, self.average, self._optimizer)
                say(self._progress(step, first, losses, time.monotonic() - start))
                losses.clear()
        return self.average

    def _step(self, step: int, photos: torch.Tensor, bits: torch.Tensor) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(step / len(self._draws), self._plan.rate)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._mixed):
            logits = self.network(photos)
        loss = partial_label_loss(logits.float(), bits, self._table)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self._optimizer.step()
        self._blend(min(_AVERAGE, (1 + step) / (10 + step)))
        return float(loss.detach())

    @torch.no_grad()
    def _blend(self, keep: float) -> None:
        """Average parameters and normalisation statistics; early steps weigh little."""
        for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - keep)

    def _ends_pass(self, step: int) -> bool:
        per_pass = max(1, len(self._photos) // self._plan.batch)
        return (step + 1) % per_pass == 0 or step + 1 == len(self._draws)

    def _progress(self, step: int, first: int, losses: list[float], seconds: float) -> str:
        total, pace = len(self._draws), seconds / (step + 1 - first)
        passed = (step + 1) * self._plan.batch / len(self._photos)
        return (
            f"pass {passed:6.1f}/{self._plan.passes}  loss {sum(losses) / len(losses):.4f}  "
            f"{self._plan.batch / pace:5.1f} photos/s  left {pace * (total - step - 1) / 60:5.1f} min at this pace"
        )
