"""Loss of a photo that says only what its set labels.

Cross-entropy against a set of possible classes: -log of the probability that the set holds. Unlabelled alternatives
count less than background (`ALTERNATIVE`), else a pet photo's carpet could be called a person for nothing.
A soft Jaccard term of foreground against background follows the metric. Logits come raised to the size of the labels
first, as serving raises them: compared at their own size, with every other label, masks would lie half a pixel off.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from inference_container.training.dataset import ANYTHING, BACKGROUND, CLASSES

ALTERNATIVE = 0.25  # a person in a pet photo's background costs log(4), not infinity
_NEVER = -1e4  # log of "impossible" that keeps gradients finite


def log_weights() -> Tensor:
    """(16, classes): log weight of each class under each set of possible classes."""
    rows = [[_log_weight(bits, 1 << index) for index in range(len(CLASSES))] for bits in range(ANYTHING + 1)]
    return torch.tensor(rows)


def _log_weight(bits: int, one: int) -> float:
    if not bits & one:
        return _NEVER
    return math.log(ALTERNATIVE) if bits & BACKGROUND and one != BACKGROUND else 0.0


def partial_label_loss(logits: Tensor, bits: Tensor, table: Tensor) -> Tensor:
    """Scalar loss of float logits (N, classes, h, w) against class bits uint8 (N, h, w); table: `log_weights()`."""
    known = (bits != ANYTHING).float()
    logp = logits.log_softmax(1)
    agreed = (logp + table[bits.long()].permute(0, 3, 1, 2)).logsumexp(1)  # log of the agreeing probability
    entropy = -(agreed * known).sum() / known.sum().clamp_min(1)
    return entropy + _jaccard(logp, agreed, bits, known)


def agreement_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean divergence of the student's probabilities from the teacher's, both as logits (N, classes, h, w).

    Everywhere: where labels have holes, or none could be drawn, the teacher has made up its mind over many photos.
    """
    pixels = logits.numel() / logits.shape[1]
    ours, theirs = logits.log_softmax(1), teacher.log_softmax(1)
    return functional.kl_div(ours, theirs, reduction="sum", log_target=True) / pixels


def _jaccard(logp: Tensor, agreed: Tensor, bits: Tensor, known: Tensor) -> Tensor:
    """1 - soft intersection over union of foreground, pooled over the batch."""
    truth = (bits & BACKGROUND == 0).float() * known
    foreground = torch.where(truth > 0, 1 - logp[:, 0].exp(), 1 - agreed.exp()) * known
    both = (foreground * truth).sum()
    return 1 - (both + 1) / (foreground.sum() + truth.sum() - both + 1)
