"""The training loop: a student and, if asked for, a wider teacher that learns beside it, on the same batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from inference_container.architectures import build, output_stride
from inference_container.readout import raised
from inference_container.training import checkpoint
from inference_container.training.dataset import CLASSES, Photo
from inference_container.training.draws import Draws, Plan
from inference_container.training.learner import Learner
from inference_container.training.loss import agreement_loss, log_weights, partial_label_loss

STUDENT, TEACHER = "student", "teacher"  # in the checkpoint
_WARM_UP = 0.03  # share of the steps
_AVERAGE = 0.9975  # of the weights, per step, once warm
_TRUST, _TRUSTED = 2.0, 0.3  # weight of the teacher's opinion beside the labels, and the share of steps that takes
_PAUSE = 15.0  # seconds between checkpoints, at least

Say = Callable[[str], None]
Precision = Literal["fp32", "bf16"]  # of the convolutions; weights, averages and the loss stay in fp32


def learning_rate(share: float, peak: float) -> float:
    """Rate once `share` (0..1) of the steps is done: linear warm-up, then half a cosine down to 1 % of the peak."""
    if share < _WARM_UP:
        return peak * max(share / _WARM_UP, 0.01)
    falling = (share - _WARM_UP) / (1 - _WARM_UP)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * falling)))


class Run:
    """One training run; `train` goes on from the checkpoint in `out`, if there is one.

    `start`: weights to begin with, unfolded; without them random ones. `teacher`: the architecture of a network whose
    opinion the student learns from, too.
    """

    def __init__(
        self,
        architecture: str,
        photos: list[Photo],
        plan: Plan,
        out: Path,
        precision: Precision = "fp32",
        start: nn.Module | None = None,
        teacher: str | None = None,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(plan.seed)
        self._device, mixed = torch.device(device), precision == "bf16"
        network = build(architecture, len(CLASSES))
        if start is not None:
            network.load_state_dict(start.state_dict())
        self._learners = {STUDENT: Learner(network, self._device, mixed)}
        if teacher:
            self._learners[TEACHER] = Learner(build(teacher, len(CLASSES)), self._device, mixed)
        self._table, self._stride = log_weights().to(self._device), output_stride(network)
        self._plan, self._photos, self._out = plan, photos, out
        self._draws = Draws(photos, plan)

    def train(self, workers: int, say: Say) -> nn.Module:
        """Run to the end of the plan and return the student's averaged network, in eval mode."""
        path = self._out / "state.safetensors"
        first = checkpoint.restore(path, self._learners)
        start, saved = time.monotonic(), -math.inf
        losses: list[Tensor] = []
        for step, (photos, bits) in enumerate(self._batches(first, workers), first):
            losses.append(self._step(step, photos, bits))
            now = time.monotonic()
            if self._ends_pass(step) and (now > saved + _PAUSE or step + 1 == len(self._draws)):
                say(self._progress(step, first, losses, now - start))
                checkpoint.save(path, step + 1, self._learners)
                saved, losses = now, []
        return self._learners[STUDENT].average

    def _batches(self, first: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """On the device. Workers are forked, so that they share the decoded photos."""
        numbers, fast = range(first, len(self._draws)), self._device.type == "cuda"
        method = "fork" if workers else None
        made = DataLoader(
            self._draws,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            pin_memory=fast,
            multiprocessing_context=method,
        )
        for photos, bits in made:
            yield photos.to(self._device, non_blocking=True), bits.to(self._device, non_blocking=True)

    def _step(self, step: int, photos: Tensor, bits: Tensor) -> Tensor:
        """Teach, then learn; returns the student's loss against the labels."""
        share = step / len(self._draws)
        rate, keep = learning_rate(share, self._plan.rate), min(_AVERAGE, (1 + step) / (10 + step))
        student, teacher = self._learners[STUDENT], self._learners.get(TEACHER)
        logits = student.logits(photos)
        loss = total = self._labelled(logits, bits)
        if teacher:
            total = loss + _TRUST * min(1.0, share / _TRUSTED) * agreement_loss(logits, teacher.opinion(photos))
            teacher.learn(self._labelled(teacher.logits(photos), bits), rate, keep)
        student.learn(total, rate, keep)
        return loss.detach()

    def _labelled(self, logits: Tensor, bits: Tensor) -> Tensor:
        return partial_label_loss(raised(logits, self._stride), bits, self._table)

    def _ends_pass(self, step: int) -> bool:
        per_pass = max(1, len(self._photos) // self._plan.batch)
        return (step + 1) % per_pass == 0 or step + 1 == len(self._draws)

    def _progress(self, step: int, first: int, losses: list[Tensor], seconds: float) -> str:
        total, pace = len(self._draws), seconds / (step + 1 - first)
        passed = (step + 1) * self._plan.batch / len(self._photos)
        return (
            f"pass {passed:6.1f}/{self._plan.passes}  loss {float(torch.stack(losses).mean()):.4f}  "
            f"{self._plan.batch / pace:5.1f} photos/s  left {pace * (total - step - 1) / 60:5.1f} min at this pace"
        )
