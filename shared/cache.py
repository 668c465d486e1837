"""The same photo of the same user, by the same model: answered with the mask that is there, and no GPU is woken.

Only within one user, so that nobody learns what others have uploaded. The key is what storage itself recorded of the
bytes (MD5, CRC32C, size) with the serving model's version. The mask is copied: deleting one
prediction never takes another one's mask away. Two copies that arrive together are both segmented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared import ids, registry
from shared.errors import Conflict, NotFound
from shared.ports import ObjectInfo
from shared.prediction import COLLECTION, Prediction, State, from_data
from shared.runtime import Runtime

_LOOK_AT = 20  # predictions of the same bytes
_NOBODY = 0  # the fence that no claim ever has: the copy's place


def answer(runtime: Runtime, prediction: Prediction, photo: ObjectInfo) -> Prediction | None:
    """`prediction` SUCCEEDED with the result of an equal photo, or None. Repeating it stores nothing twice."""
    if not runtime.settings.cache or not photo.md5 or prediction.outputs:
        return None  # further outputs are made anew
    equal = list(_equal(runtime, prediction, photo))
    model = registry.serving(runtime.documents, prediction.arm) if equal else None  # most photos are new: one read less
    for found in equal:
        if model == registry.Serving(found.model.get("name", ""), found.model.get("version", "")):
            try:
                result = _copied(runtime, prediction, found)
            except NotFound:
                continue  # deleted a moment ago
            return _answered(prediction, found, result)
    return None


def _equal(runtime: Runtime, prediction: Prediction, photo: ObjectInfo) -> Iterator[Prediction]:
    rows = runtime.documents.query(
        COLLECTION,
        [("ownerUid", "==", prediction.owner_uid), ("input.md5", "==", photo.md5), ("state", "==", State.SUCCEEDED)],
        limit=_LOOK_AT,
    )
    for found in (from_data(row.data) for row in rows):
        same = (found.input.get("crc32c"), found.input.get("sizeBytes")) == (photo.crc32c, photo.size)
        if same and not found.deleted:
            yield found


def _copied(runtime: Runtime, prediction: Prediction, found: Prediction) -> dict[str, Any]:
    """The other's result, with a mask of our own. Raises `NotFound` if its mask is gone."""
    objects, bucket = runtime.objects, runtime.settings.results_bucket
    name = ids.result_name(prediction.id, prediction.generation, _NOBODY)
    png = objects.get(found.result["bucket"], found.result["object"], found.result["generation"])
    try:
        stored = objects.put(bucket, name, png, "image/png", if_generation_match=0)
    except Conflict:
        stored = objects.stat(bucket, name)
    kept = {key: found.result[key] for key in ("sha256", "width", "height", "classes")}
    return kept | {"bucket": stored.bucket, "object": stored.name, "generation": stored.generation}


def _answered(prediction: Prediction, found: Prediction, result: dict[str, Any]) -> Prediction:
    waited = (datetime.now(UTC) - prediction.create_time).total_seconds()
    return replace(
        prediction.ended(State.SUCCEEDED),
        input={**found.input},
        model={**found.model, "arm": prediction.arm},
        result=result,
        timings={"total": round(max(0.0, waited) * 1000, 2)},
        cache={"hit": True, "predictionId": found.id},
    )
