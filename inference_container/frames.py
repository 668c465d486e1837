"""What the server and its workers say to each other over a stream socket: frames of some JSON, then bytes.

4 bytes, size of the JSON | 4 bytes, size of the rest | JSON | the rest     (sizes little-endian)
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from inference_container.faults import DeviceBroken, NotFinite, OutOfMemory
from inference_container.segmented import Answer, Encoded, Job, Segmented
from shared.errors import MasklineError, Rejected, Retryable

_SIZES = struct.Struct("<II")
_FAULTS: dict[str, type[MasklineError]] = {
    kind.__name__: kind for kind in (DeviceBroken, NotFinite, OutOfMemory, Retryable, MasklineError)
}


class Ended(Exception):
    """The other side is gone."""


def send(to: socket.socket, about: Any, parts: Sequence[bytes] = ()) -> None:
    """One frame; `parts` follow each other. Raises `Ended`."""
    head = json.dumps(about).encode()
    try:
        to.sendall(_SIZES.pack(len(head), sum(map(len, parts))) + head)
        for part in parts:
            to.sendall(part)
    except OSError:
        raise Ended from None


def receive(of: socket.socket) -> tuple[Any, memoryview]:
    """The next frame. Raises `Ended`."""
    head, rest = _SIZES.unpack(_read(of, _SIZES.size))
    return json.loads(bytes(_read(of, head))), _read(of, rest)


def _read(of: socket.socket, size: int) -> memoryview:
    read = memoryview(bytearray(size))
    left = read
    while left:
        try:
            taken = of.recv_into(left)
        except OSError:
            taken = 0
        if not taken:
            raise Ended
        left = left[taken:]
    return read


def send_jobs(to: socket.socket, jobs: Sequence[Job]) -> None:
    """Raises `Ended`."""
    send(to, [{"size": len(job.data), "wanted": job.wanted} for job in jobs], [job.data for job in jobs])


def receive_jobs(of: socket.socket) -> list[Job]:
    """Raises `Ended`."""
    rows, rest = receive(of)
    pieces = _pieces(rest, [row["size"] for row in rows])
    return [Job(data, tuple(row["wanted"])) for row, data in zip(rows, pieces, strict=True)]


def send_answers(to: socket.socket, answers: Sequence[Answer]) -> None:
    """Raises `Ended`."""
    files = [file for answer in answers if isinstance(answer, Segmented) for file in _files(answer).values()]
    send(to, [_described(answer) for answer in answers], files)


def receive_answers(of: socket.socket) -> list[Answer]:
    """Raises `Ended`."""
    rows, rest = receive(of)
    pieces = _pieces(rest, [size for row in rows for size in row.get("files", {}).values()])
    files = iter(pieces)
    return [_answer(row, {name: next(files) for name in row.get("files", {})}) for row in rows]


def _files(answer: Segmented) -> dict[str, bytes]:
    return {"mask": answer.mask.png, **answer.outputs}


def _described(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Rejected):
        return {"reason": answer.reason, "message": str(answer)}
    if isinstance(answer, MasklineError):
        kind = next(one for one in type(answer).__mro__ if one.__name__ in _FAULTS)
        return {"fault": kind.__name__, "message": str(answer)}
    return {
        "contentType": answer.content_type,
        "width": answer.width,
        "height": answer.height,
        "sha256": answer.mask.sha256,
        "classes": answer.mask.classes,
        "seconds": answer.seconds,
        "files": {name: len(data) for name, data in _files(answer).items()},
    }


def _answer(row: Mapping[str, Any], files: dict[str, bytes]) -> Answer:
    if "reason" in row:
        return Rejected(row["reason"], row["message"])
    if "fault" in row:
        return _FAULTS[row["fault"]](row["message"])
    mask = Encoded(files.pop("mask"), row["sha256"], row["classes"])
    return Segmented(row["contentType"], row["width"], row["height"], mask, files, row["seconds"])


def _pieces(rest: memoryview, sizes: Sequence[int]) -> list[bytes]:
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    return [bytes(rest[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
