"""`pipeline.yaml`, read into types and cross-checked. For tools and tests; nothing reads it at request time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.capacity import ACK_RATIO, Capacity
from shared.errors import Misconfigured

PATH = Path(__file__).resolve().parent.parent / "pipeline.yaml"


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds, for one profile."""

    work_budget: float
    lease: float
    ack_deadline: float
    retry_min: float
    retry_max: float
    sweep: float


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    runtime: str  # function | container
    identity: str
    memory_mib: int
    timeout: float
    max_instances: int
    concurrency: int = 0  # containers: derived from the batch settings
    entry: str = ""
    signature: str = ""  # http: an async function that gets the request; cloudevent: a plain one that gets an event
    public: bool = False  # everybody may call it: it checks for itself who does
    local: bool = True  # false: only the cloud has it

    @property
    def asynchronous(self) -> bool:
        """Which of functions-framework's servers it runs on, also for Terraform (`modules/function`)."""
        return self.signature == "http"

    @property
    def server(self) -> dict[str, str]:
        """Variables by which functions-framework chooses its server."""
        return {"FUNCTION_USE_ASGI": "true"} if self.asynchronous else {"THREADS": str(self.concurrency)}


@dataclass(frozen=True, slots=True)
class Job:
    """A container that runs to an end, on a GPU, with arguments that its starter adds to `command`."""

    name: str
    command: Sequence[str]
    identity: str
    memory_mib: int
    timeout: float  # of one attempt
    retries: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """A push subscription. `ack_deadline` is in seconds, or the name of a timing that the profile fills in."""

    name: str
    topic: str
    stage: str
    path: str
    ack_deadline: float | str
    dead_letter: str
    max_delivery_attempts: int
    max_outstanding: int  # pushes in flight at most
    filter: str = ""

    def ack_seconds(self, timings: Timings) -> float:
        if isinstance(self.ack_deadline, str):
            return float(getattr(timings, self.ack_deadline))
        return float(self.ack_deadline)


@dataclass(frozen=True, slots=True)
class Schedule:
    name: str
    topic: str
    cron: str  # for Cloud Scheduler
    timing: str = ""  # which of the local profile's timings is the period; empty: only the cloud has it
    attributes: Mapping[str, str] = field(default_factory=dict)  # of its messages


@dataclass(frozen=True, slots=True)
class Pipeline:
    timings: Mapping[str, Timings]
    capacity: Mapping[str, Capacity]  # of one instance, by profile
    topics: Mapping[str, float]  # name → retention in seconds
    schedules: Mapping[str, Schedule]
    stages: Mapping[str, Stage]
    jobs: Mapping[str, Job]
    subscriptions: Mapping[str, Subscription]

    def local(self) -> Pipeline:
        """The part that one machine runs."""
        here = {s.name for s in self.stages.values() if s.local}
        return replace(
            self,
            schedules={s.name: s for s in self.schedules.values() if s.timing},
            stages={s.name: s for s in self.stages.values() if s.local},
            subscriptions={s.name: s for s in self.subscriptions.values() if s.stage in here},
        )


def load(path: Path = PATH) -> Pipeline:
    """Raises `Misconfigured` with every problem found, one per clause."""
    import yaml

    try:
        return parse(yaml.load(path.read_text("utf-8"), Loader=_unique_keys(yaml)))  # noqa: S506 - a SafeLoader
    except (OSError, yaml.YAMLError) as error:
        raise Misconfigured(f"pipeline.yaml cannot be read: {' '.join(str(error).split())}") from None


def parse(raw: Any) -> Pipeline:
    try:
        pipeline = Pipeline(
            timings={name: Timings(**row) for name, row in raw["timings"].items()},
            capacity={name: Capacity(**row) for name, row in raw["capacity"].items()},
            topics={name: float(row["retention"]) for name, row in raw["topics"].items()},
            schedules={name: Schedule(name=name, **row) for name, row in raw["schedules"].items()},
            stages={name: Stage(name=name, **row) for name, row in raw["stages"].items()},
            jobs={name: Job(name=name, **row) for name, row in raw["jobs"].items()},
            subscriptions={name: Subscription(name=name, **row) for name, row in raw["subscriptions"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Misconfigured(f"pipeline.yaml does not have the agreed form: {error}") from None
    problems = [
        *_bad_timings(pipeline),
        *_bad_capacity(pipeline),
        *_bad_subscriptions(pipeline),
        *_bad_names(pipeline),
        *_bad_schedules(pipeline),
    ]
    if problems:
        raise Misconfigured("pipeline.yaml: " + "; ".join(problems))
    return pipeline


def _bad_timings(pipeline: Pipeline) -> list[str]:
    problems = []
    for profile, t in pipeline.timings.items():
        if not t.work_budget < t.lease:
            problems.append(f"{profile}: work_budget must be below lease")
        if not ACK_RATIO * t.lease <= t.ack_deadline:
            problems.append(f"{profile}: ack_deadline must be at least 1.5 x lease")
        if not 0 < t.retry_min <= t.retry_max:
            problems.append(f"{profile}: a retry policy needs 0 < retry_min <= retry_max")
    return problems


def _bad_capacity(pipeline: Pipeline) -> list[str]:
    problems = [
        f"{profile}: no capacity was measured" for profile in pipeline.timings.keys() - pipeline.capacity.keys()
    ]
    for profile, capacity in pipeline.capacity.items():
        if not capacity.images_per_s > 0:
            problems.append(f"{profile}: an instance does more than 0 images_per_s")
    return problems


def _bad_subscriptions(pipeline: Pipeline) -> list[str]:
    problems = []
    for s in pipeline.subscriptions.values():
        for kind, name in (("topic", s.topic), ("dead-letter topic", s.dead_letter)):
            if name not in pipeline.topics:
                problems.append(f"{s.name}: the {kind} {name!r} does not exist")
        if s.stage not in pipeline.stages:
            problems.append(f"{s.name}: the stage {s.stage!r} does not exist")
        elif pipeline.stages[s.stage].public:
            problems.append(f"{s.name}: the stage {s.stage!r} is open to everybody, who could push to it")
        if isinstance(s.ack_deadline, str) and s.ack_deadline not in Timings.__slots__:
            problems.append(f"{s.name}: no timing is called {s.ack_deadline!r}")
        if not 5 <= s.max_delivery_attempts <= 100:
            problems.append(f"{s.name}: max_delivery_attempts must be 5 to 100")
    return problems


def _bad_names(pipeline: Pipeline) -> list[str]:
    entries = [s.entry for s in pipeline.stages.values() if s.entry]
    identities = [s.identity for s in pipeline.stages.values()] + [j.identity for j in pipeline.jobs.values()]
    problems = []
    if len(set(entries)) != len(entries):
        problems.append("entry points must have different names: the framework keys them by bare name")
    if len(set(identities)) != len(identities):
        problems.append("every stage and job has an identity of its own")
    return problems


def _bad_schedules(pipeline: Pipeline) -> list[str]:
    problems = []
    for schedule in pipeline.schedules.values():
        if schedule.topic not in pipeline.topics:
            problems.append(f"schedule {schedule.name}: the topic {schedule.topic!r} does not exist")
        if schedule.timing and schedule.timing not in Timings.__slots__:
            problems.append(f"schedule {schedule.name}: no timing is called {schedule.timing!r}")
    return problems


def _unique_keys(yaml: Any) -> Any:
    """A safe loader that refuses a key written twice, which YAML silently overwrites."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{', '.join(sorted(twice))} stands twice")
        return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader
