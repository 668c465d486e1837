"""What `maskline doctor` looks at in a project on Google Cloud. It reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from cli.findings import Finding
from shared import pipeline
from shared.adapters.google.diagnosis import GPU_STEP, diagnose
from shared.adapters.google.quotas import CloudRunQuotas
from shared.adapters.google.topics import PubSubTopics
from shared.errors import MasklineError
from shared.events import SegmentRequested
from shared.ports import Document
from shared.prediction import COLLECTION, State
from shared.runtime import Runtime, connect
from shared.settings import Settings

Probe = Callable[[], str]
# Where Cloud Run has L4 GPUs; the last two by invitation. Terraform's `region` has the same list, by a test.
L4_REGIONS = ("asia-southeast1", "europe-west1", "europe-west4", "us-east4", "us-central1", "asia-south1")
_LOST = timedelta(seconds=60)  # an instance that was not heard of for so long is gone
_COLD_START = timedelta(minutes=2)  # more than the slowest start from zero
_UPGRADE = "deploy the container before the functions: readers of a new schema go first"


def examine_cloud(settings: Settings) -> Iterator[Finding]:
    yield from examined(connect(settings), PubSubTopics(settings.project), CloudRunQuotas(settings.project))


def examined(runtime: Runtime, topics: PubSubTopics, quotas: CloudRunQuotas) -> Iterator[Finding]:
    settings = runtime.settings
    for name, probe in probes(runtime, topics).items():
        yield finding(name, probe, settings.project)
    yield region(settings.region)
    yield gpus(settings, quotas)
    yield from _messages(runtime)


def finding(name: str, probe: Probe, project: str) -> Finding:
    try:
        return Finding(name, True, probe())
    except MasklineError as error:
        diagnosis = diagnose(error, project)
        return Finding(name, False, diagnosis.cause, diagnosis.step)


def probes(runtime: Runtime, topics: PubSubTopics) -> dict[str, Probe]:
    settings = runtime.settings
    return {
        "documents": partial(_documents, runtime),
        "uploads": partial(_bucket, runtime, settings.uploads_bucket),
        "results": partial(_bucket, runtime, settings.results_bucket),
        "queue": partial(_topics, topics),
        "service": partial(_service, runtime),
    }


def _documents(runtime: Runtime) -> str:
    runtime.documents.query(COLLECTION, limit=1)
    return "Firestore answers"


def _bucket(runtime: Runtime, bucket: str) -> str:
    runtime.objects.list(bucket, limit=1)
    return f"the bucket {bucket} can be read"


def _topics(topics: PubSubTopics) -> str:
    names = pipeline.load().topics
    for name in names:
        topics.look(name)
    return f"{len(names)} of {len(names)} topics are there"


def _service(runtime: Runtime) -> str:
    shares = runtime.services.traffic("segment").shares
    return "traffic: " + ", ".join(f"{share.revision} {share.percent} %" for share in shares)


def region(name: str) -> Finding:
    if name in L4_REGIONS:
        return Finding("region", True, f"Cloud Run has L4 GPUs in {name}")
    step = f"set MASKLINE_REGION and Terraform's `region` to one of {', '.join(L4_REGIONS)}"
    return Finding("region", False, f"Cloud Run has no L4 GPUs in {name}", step)


def gpus(settings: Settings, quotas: CloudRunQuotas) -> Finding:
    """Is there quota for as many instances as may be started?"""
    try:
        quota = quotas.l4_gpus(settings.region) or 0
    except MasklineError as error:
        diagnosis = diagnose(error, settings.project)
        return Finding("gpus", False, diagnosis.cause, diagnosis.step)
    if quota == 0:
        return Finding("gpus", False, f"the quota for L4 GPUs in {settings.region} is 0: no instance starts", GPU_STEP)
    if 0 < quota < settings.max_instances:  # -1: no limit
        cause = f"the quota is {quota} L4 GPUs, but {settings.max_instances} instances may be started"
        return Finding("gpus", False, cause, f"lower `gpu_quota` in Terraform to {quota}, or {GPU_STEP}")
    return Finding("gpus", True, f"{'any number of' if quota < 0 else quota} L4 GPUs may be used in {settings.region}")


def _messages(runtime: Runtime) -> Iterator[Finding]:
    try:
        instances = runtime.documents.query("instances", [("state", "==", "ready")])
        queued = runtime.documents.query(
            COLLECTION, [("state", "==", State.QUEUED.value)], [("publishTime", "asc")], limit=1
        )
    except MasklineError:
        return  # the check of the documents has said why
    now = datetime.now(UTC)
    awake = [one for one in instances if now - one.data["heartbeatTime"] < _LOST]
    yield message_schema(awake, bool(queued))
    yield waiting(awake, queued[0].data["publishTime"] if queued else None, now)


def waiting(awake: Sequence[Document], since: datetime | None, now: datetime) -> Finding:
    """Does anybody take what is on the queue? `since`: when the photo that waits longest was put there."""
    if awake or since is None or now - since < _COLD_START:
        return Finding("instances", True, f"{len(awake)} instances are awake")
    minutes = (now - since).total_seconds() / 60
    cause = f"photos wait since {minutes:.0f} minutes, and no instance is awake"
    step = "see the logs of the service `segment`: its image, its model, or too little quota for GPUs (docs/runbook.md)"
    return Finding("instances", False, cause, step)


def message_schema(awake: Sequence[Document], waiting: bool) -> Finding:
    """Do the instances that are awake read what this release writes? They say what they read in `schemaVersion`."""
    ours = SegmentRequested.SCHEMA_VERSION
    others = sorted({str(one.data.get("schemaVersion", "none")) for one in awake} - {ours})
    if others:
        waits = "photos wait in the queue and " if waiting else ""
        cause = f"{waits}instances read messages of schema {', '.join(others)}, this release writes {ours}"
        return Finding("messages", False, cause, _UPGRADE)
    return Finding("messages", True, f"schema {ours}, read by {len(awake)} instances that are awake")
