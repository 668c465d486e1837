"""The history checker: compares what was uploaded with what became of it. Reads only; any profile.

missing      an upload without a prediction, older than a grace period; a photo to work on without a message
duplicated   one generation with two predictions, or a prediction with two masks once it has ended
unexpected   a prediction whose upload does not exist, or a result of which a file does not, or not any more as it was;
             a message for a prediction that does not exist or has long ended
stuck        not ended although its deadline is over by more than a grace period; a message that waits for too long

What is legal on the queue, and for how long, is in `shared/backlog.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared import pipeline
from shared.backlog import History, Limits, grace, judged
from shared.ports import Document, Figures, Messages, ObjectInfo
from shared.prediction import COLLECTION, Prediction, Reason, State, from_data
from shared.results import MASK, objects_of
from shared.runtime import Runtime
from shared.settings import Settings

_PAGE = 1000


@dataclass(slots=True)
class Report:
    """Lines for people, each naming the object or the prediction."""

    missing: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.duplicated or self.unexpected or self.stuck)


Generation = tuple[str, str, int]  # bucket, object name, generation


def audit(runtime: Runtime, now: datetime | None = None, messages: Messages | Figures | None = None) -> Report:
    """Holds one line per upload and prediction in memory. Uploads are listed first, so that what arrives meanwhile
    is not taken for missing; so are `messages`, by the caller. None: they are not looked at."""
    now = now or datetime.now(UTC)
    settings = runtime.settings
    old = now - grace(settings)
    uploads = {_key(info): info for info in _objects(runtime, settings.uploads_bucket, "")}
    history = history_of(runtime)
    predictions = history.predictions
    files = {info.name: info for info in _objects(runtime, settings.results_bucket, "predictions/")}
    report = Report()
    _check_uploads(report, uploads, predictions, old)
    _check_outcomes(report, uploads, predictions, runtime)
    _check_results(report, files, predictions, old)
    report.stuck += [
        f"{p.id} {p.state.value}: should have ended at {p.deadline.isoformat()}"
        for p in predictions
        if not p.state.terminal and p.deadline < old
    ]
    if messages is not None:
        _check_messages(report, messages, history, settings)
    return report


def _check_messages(report: Report, messages: Messages | Figures, history: History, settings: Settings) -> None:
    table = pipeline.load()
    for name, line in judged(messages, history, Limits(settings, table, history.predictions), table):
        getattr(report, name).append(line)


def _check_uploads(
    report: Report, uploads: dict[Generation, ObjectInfo], predictions: Sequence[Prediction], old: datetime
) -> None:
    seen = Counter((p.bucket, p.object, p.generation) for p in predictions if p.generation)
    ended_unseen = {(p.bucket, p.object) for p in predictions if not p.generation and p.state.terminal}
    for key, info in uploads.items():
        if key not in seen and key[:2] not in ended_unseen and info.create_time < old:
            report.missing.append(f"{info.name} generation {info.generation}")
    report.duplicated += [f"{name} generation {number}" for (_, name, number), count in seen.items() if count > 1]


def _check_outcomes(
    report: Report, uploads: dict[Generation, ObjectInfo], predictions: Sequence[Prediction], runtime: Runtime
) -> None:
    newest: dict[tuple[str, str], int] = {}
    for bucket, name, generation in (*uploads, *((p.bucket, p.object, p.generation) for p in predictions)):
        newest[bucket, name] = max(generation, newest.get((bucket, name), 0))
    for p in predictions:
        gone_by_right = p.deleted or p.error.get("reason") == Reason.SOURCE_MISSING
        if not p.generation or gone_by_right or (p.bucket, p.object, p.generation) in uploads:
            continue
        overwritten = newest[p.bucket, p.object] > p.generation  # the outcome of the older one stays
        if overwritten or runtime.store.get(p.id) is None:
            continue
        report.unexpected.append(f"{p.id} {p.state.value}: there is no {p.object} generation {p.generation}")


def _check_results(
    report: Report, files: dict[str, ObjectInfo], predictions: Sequence[Prediction], old: datetime
) -> None:
    """Every result has one mask, and may have other files beside it."""
    masks: Counter[str] = Counter()
    for name, info in files.items():
        if info.create_time < old and name.endswith(f"/{MASK.name}"):
            masks[name.split("/")[1]] += 1
    for p in predictions:
        if p.state is State.SUCCEEDED and not p.deleted:
            lost = [_kind(name) for name in objects_of(p.result) or [MASK.name] if name not in files]
            report.unexpected += [f"{p.id} {p.state.value}: its {kind} does not exist" for kind in lost]
            mask = files.get(p.result.get("object", ""))
            if mask is not None and mask.generation != p.result["generation"]:
                report.unexpected.append(f"{p.id} {p.state.value}: its mask was replaced")
        if p.state.terminal and masks[p.id] > 1:
            report.duplicated.append(f"{p.id}: {masks[p.id]} masks")


def _kind(name: str) -> str:
    return name.rsplit("/", 1)[-1].split(".")[0]


def history_of(runtime: Runtime) -> History:
    """All predictions, oldest first."""
    predictions, changed = [], {}
    for document in _documents(runtime):
        predictions.append(from_data(document.data))
        changed[document.id] = document.update_time
    return History(predictions, changed)


def _documents(runtime: Runtime) -> Iterator[Document]:
    after = None
    while True:
        page = runtime.documents.query(COLLECTION, order_by=[("createTime", "asc")], limit=_PAGE, after=after)
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1].data["createTime"], page[-1].id)


def _objects(runtime: Runtime, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
    after = ""
    while page := runtime.objects.list(bucket, prefix, after, _PAGE):
        yield from page
        after = page[-1].name


def _key(info: ObjectInfo) -> Generation:
    return info.bucket, info.name, info.generation
