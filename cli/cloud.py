"""What `maskline doctor` looks at in a project on Google Cloud. It reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from cli.findings import Finding
from shared import pipeline
from shared.adapters.google.diagnosis import diagnose
from shared.adapters.google.topics import PubSubTopics
from shared.errors import MasklineError
from shared.events import SegmentRequested
from shared.ports import Document
from shared.prediction import COLLECTION, State
from shared.runtime import Runtime, connect
from shared.settings import Settings

Probe = Callable[[], str]
_LOST = timedelta(seconds=60)  # an instance that was not heard of for so long is gone
_UPGRADE = "deploy the container before the functions: readers of a new schema go first"


def examine_cloud(settings: Settings) -> Iterator[Finding]:
    runtime = connect(settings)
    for name, probe in probes(runtime).items():
        yield finding(name, probe, settings.project)
    yield from _messages(runtime)


def finding(name: str, probe: Probe, project: str) -> Finding:
    try:
        return Finding(name, True, probe())
    except MasklineError as error:
        diagnosis = diagnose(error, project)
        return Finding(name, False, diagnosis.cause, diagnosis.step)


def probes(runtime: Runtime) -> dict[str, Probe]:
    settings = runtime.settings
    return {
        "documents": partial(_documents, runtime),
        "uploads": partial(_bucket, runtime, settings.uploads_bucket),
        "results": partial(_bucket, runtime, settings.results_bucket),
        "queue": partial(_topics, PubSubTopics(settings.project)),
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


def _messages(runtime: Runtime) -> Iterator[Finding]:
    try:
        instances = runtime.documents.query("instances", [("state", "==", "ready")])
        queued = runtime.documents.query(COLLECTION, [("state", "==", State.QUEUED.value)], limit=1)
    except MasklineError:
        return  # the check of the documents has said why
    yield message_schema(instances, bool(queued), datetime.now(UTC))


def message_schema(instances: Iterable[Document], waiting: bool, now: datetime) -> Finding:
    """Do the instances that are awake read what this release writes? They say what they read in `schemaVersion`."""
    ours = SegmentRequested.SCHEMA_VERSION
    awake = [one.data for one in instances if now - one.data["heartbeatTime"] < _LOST]
    others = sorted({str(data.get("schemaVersion", "none")) for data in awake} - {ours})
    if others:
        waits = "photos wait in the queue and " if waiting else ""
        cause = f"{waits}instances read messages of schema {', '.join(others)}, this release writes {ours}"
        return Finding("messages", False, cause, _UPGRADE)
    return Finding("messages", True, f"schema {ours}, read by {len(awake)} instances that are awake")
