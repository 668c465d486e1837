"""How a photo goes into a request and its mask comes out of the answer.

Most servers take and give the bytes as they are. Those of the Open Inference Protocol (v2) want a tensor: its own
extension for bytes, or JSON with base64, which costs a server time that its users pay, too.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

INPUT, OUTPUT = "photo", "mask"  # the tensors' names
_HEADER_LENGTH = re.compile(rb"\r\ninference-header-content-length: *(\d+)", re.I)


@dataclass(frozen=True, slots=True)
class Form:
    """`pack`: a photo as header lines and body. `unpack`: the mask of an answer's head and body."""

    pack: Callable[[bytes], tuple[list[str], bytes]]
    unpack: Callable[[bytes, bytes], bytes]


def _raw(photo: bytes) -> tuple[list[str], bytes]:
    return ["Content-Type: application/octet-stream"], photo


def _body(head: bytes, body: bytes) -> bytes:
    return body


def _binary(photo: bytes) -> tuple[list[str], bytes]:
    data = struct.pack("<I", len(photo)) + photo
    tensor = _tensor() | {"parameters": {"binary_data_size": len(data)}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = f"Inference-Header-Content-Length: {len(header)}"
    return ["Content-Type: application/octet-stream", length], header + data


def _of_binary(head: bytes, body: bytes) -> bytes:
    found = _HEADER_LENGTH.search(head)
    at = int(found[1]) if found else 0
    size = struct.unpack_from("<I", body, at)[0]
    return body[at + 4 : at + 4 + size]


def _base64(photo: bytes) -> tuple[list[str], bytes]:
    data = [base64.b64encode(photo).decode()]
    tensor = _tensor() | {"parameters": {"content_type": "base64"}, "data": data}
    return ["Content-Type: application/json"], json.dumps({"inputs": [tensor]}).encode()


def _of_base64(head: bytes, body: bytes) -> bytes:
    return base64.b64decode(json.loads(body)["outputs"][0]["data"][0])


def _tensor() -> dict[str, object]:
    return {"name": INPUT, "shape": [1, 1], "datatype": "BYTES"}


RAW = Form(_raw, _body)
V2_BINARY = Form(_binary, _of_binary)
V2_BASE64 = Form(_base64, _of_base64)
