"""Which handlers answer a path. It is matched as it was sent: a slash within a name arrives as %2F."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from local.objects import buckets, resources, signed, uploads
from local.objects.service import Service
from shared.errors import Malformed, NotFound

Handler = Callable[[Request], Awaitable[Response]]


def handlers(service: Service, segments: list[str]) -> Mapping[str, Handler]:
    """By method. Raises `NotFound`."""
    match segments:
        case ["storage", "upload", bucket, name]:
            return {
                "PUT": partial(signed.put, service, bucket, name),
                "POST": partial(signed.start, service, bucket, name),
                "DELETE": partial(signed.cancel, service),
                "OPTIONS": signed.preflight,
            }
        case ["storage", "download", bucket, name]:
            return {"GET": partial(signed.get, service, bucket, name), "OPTIONS": signed.preflight}
        case ["storage", "v1", "b"]:
            return {"GET": partial(buckets.every, service), "POST": partial(buckets.create, service)}
        case ["storage", "v1", "b", bucket]:
            return {"GET": partial(buckets.show, service, bucket)}
        case ["storage", "v1", "b", bucket, "o"]:
            return {"GET": partial(resources.every, service, bucket)}
        case ["storage", "v1", "b", bucket, "o", name]:
            return {
                "GET": partial(resources.get, service, bucket, name),
                "PATCH": partial(resources.patch, service, bucket, name),
                "DELETE": partial(resources.delete, service, bucket, name),
            }
        case ["storage", "v1", "b", bucket, "o", name, "rewriteTo", "b", to_bucket, "o", to_name]:
            return {"POST": partial(resources.rewrite, service, bucket, name, (to_bucket, to_name))}
        case ["storage", "v1", "b", bucket, "o", name, "copyTo", "b", to_bucket, "o", to_name]:
            return {"POST": partial(resources.copy, service, bucket, name, (to_bucket, to_name))}
        case ["download", "storage", "v1", "b", bucket, "o", name]:
            return {"GET": partial(resources.media, service, bucket, name)}
        case ["upload", "storage", "v1", "b", bucket, "o"]:
            return {
                "POST": partial(uploads.post, service, bucket),
                "PUT": partial(uploads.put, service),
                "DELETE": partial(uploads.delete, service),
            }
    raise NotFound("there is nothing at this path")


def is_signed(segments: list[str]) -> bool:
    """Whether pages of other origins may call it."""
    return segments[:2] in (["storage", "upload"], ["storage", "download"])


def segments_of(raw_path: bytes) -> list[str]:
    try:
        return [unquote_to_bytes(part).decode() for part in raw_path.removeprefix(b"/").split(b"/")]
    except UnicodeDecodeError:
        raise Malformed("the path is not UTF-8") from None
