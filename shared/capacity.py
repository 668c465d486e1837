"""Autoscaling arithmetic: what one instance can do → how many photos it takes, how many instances, which times.

Pure functions, no settings. `Settings`, the local scaler, Terraform's inputs, `maskline doctor` and the benchmarks use
the same ones, or a test compares; what was measured stands in pipeline.yaml. Times in seconds. Reasons:
docs/explanation/performance.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

BATCHES = 6  # in one instance: in the workers, ready for them, two being fetched, two being claimed or stored
WORK_SHARE = 0.8  # of the lease: a worker stops before anybody may take its photo
ACK_RATIO = 1.5  # ack deadline over lease, at least: a redelivery finds the lease over
MARGIN = 3.0  # a stay may take so many times its average: a giant photo ahead, a halved batch, a busy neighbour
UTILISATION = 0.7  # of all instances at the peak: beyond it, queues grow faster than instances start
LONGEST_ACK = 600.0  # Pub/Sub's limit
STAY = ("fetch", "decode", "batchWait", "forward", "encode", "store")  # what the work budget must hold
_WORTH = 1.05  # a larger batch must bring so much more images/s, or its photos wait for nothing


@dataclass(frozen=True, slots=True)
class Capacity:
    """One instance as measured. `images_per_s`: at full load, from claim to commit. `around`: what a photo spends
    outside the workers under that load (claim, fetch, store, commit). `cold_start`: process start → ready."""

    images_per_s: float
    around: float
    cold_start: float


@dataclass(frozen=True, slots=True)
class Times:
    """The protocol's times: work budget < lease, 1.5 × lease ≤ ack deadline."""

    work_budget: float
    lease: float
    ack_deadline: float


def concurrency(max_batch: int) -> int:
    """Photos that one instance takes at once, before anything has been measured."""
    return BATCHES * max_batch


def needed_concurrency(capacity: Capacity, max_batch: int) -> int:
    """Photos inside that keep the device busy: a batch on it, one ready, and (Little's law) those on their way."""
    return 2 * max_batch + math.ceil(capacity.images_per_s * capacity.around)


def stay(capacity: Capacity, inside: int) -> float:
    """How long a photo is in an instance that holds `inside` of them (Little's law)."""
    return inside / capacity.images_per_s


def times(capacity: Capacity, inside: int) -> Times:
    """The shortest times that are safe: the slowest stay fits into the work budget, and a message that waited for a
    cold start is not delivered again while its photo is worked on."""
    work_budget = MARGIN * stay(capacity, inside)
    lease = work_budget / WORK_SHARE
    return Times(work_budget, lease, max(ACK_RATIO * lease, capacity.cold_start + lease))


def peak(capacity: Capacity, instances: int) -> float:
    """Images per second that so many instances do without falling behind."""
    return instances * UTILISATION * capacity.images_per_s


def instances(capacity: Capacity, peak_images_per_s: float, quota: int) -> int:
    """Instances for a peak, as far as the quota goes; one at least."""
    wanted = math.ceil(round(peak_images_per_s / (capacity.images_per_s * UTILISATION), 9))  # Terraform counts exactly
    return max(1, min(quota, wanted))


def observed(base: Capacity, inside: int, timings: Iterable[Mapping[str, float]]) -> Capacity:
    """`base`, corrected by what photos' ledgers (ms by stage) say: the longest cold start, and no faster than the
    slowest stay allows."""
    rows = list(timings)
    cold = max((row["coldStart"] / 1000 for row in rows if row.get("coldStart")), default=base.cold_start)
    slowest = max((sum(row.get(stage, 0) for stage in STAY) / 1000 for row in rows), default=0.0)
    return replace(base, cold_start=cold, images_per_s=min(base.images_per_s, inside / max(slowest, 0.001)))


def best_batch(seconds: Mapping[int, float]) -> int:
    """`seconds`: of one forward by photos in it. The smallest batch that a larger one does not beat by 5 %."""
    rates = {photos: photos / spent for photos, spent in seconds.items()}
    return min(photos for photos, rate in rates.items() if rate * _WORTH >= max(rates.values()))


def complaints(capacity: Capacity, inside: int, max_batch: int, given: Times) -> Iterator[str]:
    """Where settings contradict what was measured, for a person: what is wrong, and the value that would do."""
    needed = needed_concurrency(capacity, max_batch)
    if inside < needed:
        yield f"the device stands idle: MASKLINE_CONCURRENCY {inside} is below {needed}"
    safe = times(capacity, inside)
    if given.work_budget < safe.work_budget:
        yield (
            f"photos run out of time under load: MASKLINE_WORK_BUDGET_SECONDS {given.work_budget:g} is below "
            f"{safe.work_budget:.1f} (or lower MASKLINE_CONCURRENCY)"
        )
    if given.ack_deadline < min(capacity.cold_start + given.lease, LONGEST_ACK):
        yield (
            f"messages come twice at a cold start: MASKLINE_ACK_DEADLINE_SECONDS {given.ack_deadline:g} is below "
            f"{capacity.cold_start + given.lease:.1f}"
        )
