"""The JSON API's three ways to upload: media (the bytes alone), multipart (what is said of them, and the bytes), and
resumable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.objects import resumable
from local.objects.hashes import hashes_of_headers, hashes_of_resource
from local.objects.intake import Chunks, take
from local.objects.multipart import Related
from local.objects.query import conditions_of
from local.objects.service import Service
from local.objects.upload import Upload
from shared.adapters.local.entries import Description, object_resource
from shared.errors import Malformed

_RESOURCE_BYTES = 64 << 10


async def post(service: Service, bucket: str, request: Request) -> Response:
    kind = request.query_params.get("uploadType", "")
    if kind == "resumable":
        return await _resumable(service, bucket, request)
    if kind == "multipart":
        return await _multipart(service, bucket, request)
    if kind == "media":
        return await _media(service, bucket, request)
    raise Malformed("uploadType is media, multipart or resumable")


async def put(service: Service, request: Request) -> Response:
    return await resumable.carry_on(service, request.query_params.get("upload_id", ""), request, "api")


async def delete(service: Service, request: Request) -> Response:
    return await resumable.cancel(service, request.query_params.get("upload_id", ""))


async def _media(service: Service, bucket: str, request: Request) -> Response:
    upload = _upload(bucket, {}, request.headers.get("content-type", ""), request)
    return await _taken(service, upload, request.stream())


async def _multipart(service: Service, bucket: str, request: Request) -> Response:
    parts = Related(request.headers.get("content-type", ""), request.stream())
    await parts.header()
    resource = resource_of(await parts.small(_RESOURCE_BYTES))
    upload = _upload(bucket, resource, await parts.header(), request)
    return await _taken(service, upload, parts.rest())


async def _taken(service: Service, upload: Upload, body: Chunks) -> Response:
    return JSONResponse(object_resource(await take(service, upload, body, "api")))


async def _resumable(service: Service, bucket: str, request: Request) -> Response:
    resource = resource_of(await body_of(request))
    upload = _upload(bucket, resource, request.headers.get("x-upload-content-type", ""), request)
    return await resumable.start(service, upload, request)


def _upload(bucket: str, resource: Mapping[str, Any], kind: str, request: Request) -> Upload:
    """What the resource says goes before what the request says; fields that are not kept here are ignored."""
    name = resource.get("name") or request.query_params.get("name", "")
    about = Description(bucket, str(name), str(resource.get("contentType") or kind), resource.get("metadata"))
    sent = hashes_of_headers(request.headers.getlist("x-goog-hash"), request.headers.get("content-md5", ""))
    return Upload(about, conditions_of(request.query_params), sent.over(hashes_of_resource(resource)))


async def body_of(request: Request) -> bytes:
    """A body that is a JSON resource, bounded."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _RESOURCE_BYTES:
            raise Malformed("the resource is too long")
    return bytes(body)


def resource_of(body: bytes) -> dict[str, Any]:
    """Nothing at all is an empty resource."""
    try:
        resource = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Malformed("the resource is not JSON") from None
    if not isinstance(resource, dict) or not isinstance(resource.get("metadata") or {}, dict):
        raise Malformed("the resource is not a JSON object")
    return resource
