"""The JSON API's objects: shown, listed, changed, deleted, copied."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.objects.listing import listing
from local.objects.media import download
from local.objects.query import Query, conditions_of, number
from local.objects.service import Service
from local.objects.upload import Upload, check_early, keep
from local.objects.uploads import body_of, resource_of
from shared.adapters.local.blobs import CHUNK
from shared.adapters.local.entries import Description, Entry, object_resource
from shared.adapters.local.objects import LocalObjects
from shared.api.threads import in_thread
from shared.errors import NotFound


async def get(service: Service, bucket: str, name: str, request: Request) -> Response:
    """The resource, or with `alt=media` the bytes."""
    if request.query_params.get("alt") == "media":
        return await media(service, bucket, name, request)
    conditions = conditions_of(request.query_params)
    entry = await in_thread(service.objects.catalog.find, bucket, name, _generation(request.query_params))
    if conditions.not_generation == entry.info.generation:
        return Response(status_code=304)
    conditions.check(entry)
    return JSONResponse(object_resource(entry))


async def media(service: Service, bucket: str, name: str, request: Request) -> Response:
    query = request.query_params
    return await download(service, bucket, name, request.headers, _generation(query), conditions_of(query))


async def every(service: Service, bucket: str, request: Request) -> Response:
    return JSONResponse(await in_thread(listing, service.objects.catalog, bucket, request.query_params))


async def patch(service: Service, bucket: str, name: str, request: Request) -> Response:
    """Content type and metadata; other fields are not kept here and ignored."""
    resource = resource_of(await body_of(request))
    query = request.query_params
    kind = resource.get("contentType")
    entry = await in_thread(
        service.objects.catalog.patch,
        bucket,
        name,
        _generation(query),
        conditions_of(query),
        None if kind is None else str(kind),
        resource.get("metadata"),
    )
    return JSONResponse(object_resource(entry))


async def delete(service: Service, bucket: str, name: str, request: Request) -> Response:
    query = request.query_params
    gone = await in_thread(service.objects.remove, bucket, name, _generation(query), conditions_of(query))
    if gone is None:
        raise NotFound("there is no such object")
    return Response(status_code=204)


async def rewrite(service: Service, bucket: str, name: str, to: tuple[str, str], request: Request) -> Response:
    """Always done in one call, however large."""
    entry = await _copied(service, bucket, name, to, request)
    size = str(entry.info.size)
    answer = {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True}
    return JSONResponse(answer | {"resource": object_resource(entry)})


async def copy(service: Service, bucket: str, name: str, to: tuple[str, str], request: Request) -> Response:
    return JSONResponse(object_resource(await _copied(service, bucket, name, to, request)))


async def _copied(service: Service, bucket: str, name: str, to: tuple[str, str], request: Request) -> Entry:
    resource = resource_of(await body_of(request))
    entry = await in_thread(_copy, service.objects, (bucket, name), to, resource, request.query_params)
    service.stored("api", entry)
    return entry


def _copy(
    objects: LocalObjects, source: tuple[str, str], to: tuple[str, str], resource: Mapping[str, Any], query: Query
) -> Entry:
    entry, fd = objects.open(*source, number(query, "sourceGeneration"))
    try:
        conditions_of(query, "ifSource").check(entry)
        upload = Upload(_about(entry, to, resource), conditions_of(query))
        check_early(objects, upload)
        with objects.blobs.writer() as writer:
            while data := os.pread(fd, CHUNK, writer.size):
                writer.write(data)
            return keep(objects, writer.finish(), upload)
    finally:
        os.close(fd)


def _about(source: Entry, to: tuple[str, str], resource: Mapping[str, Any]) -> Description:
    """A copy is described as its source is, unless the request describes it."""
    kind = resource.get("contentType") or source.info.content_type
    return Description(*to, str(kind), resource.get("metadata", source.info.metadata))


def _generation(query: Query) -> int | None:
    return number(query, "generation")
