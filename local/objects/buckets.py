"""The JSON API's buckets: made, shown, listed."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.objects.errors import BucketExists
from local.objects.service import Service
from local.objects.uploads import body_of, resource_of
from shared.api.threads import in_thread
from shared.errors import AlreadyExists, Malformed

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


async def show(service: Service, bucket: str, _: Request) -> Response:
    await in_thread(service.objects.catalog.check_bucket, bucket)
    return JSONResponse(_resource(bucket))


async def every(service: Service, request: Request) -> Response:
    prefix = request.query_params.get("prefix", "")
    names = await in_thread(service.objects.catalog.buckets)
    items = [_resource(name) for name in names if name.startswith(prefix)]
    return JSONResponse({"kind": "storage#buckets", "items": items})


async def create(service: Service, request: Request) -> Response:
    name = str(resource_of(await body_of(request)).get("name", ""))
    if not _NAME.fullmatch(name):
        raise Malformed("a bucket's name has 3 to 63 lower-case letters, digits, dots, dashes and underscores")
    try:
        await in_thread(service.objects.catalog.create_bucket, name)
    except AlreadyExists as error:
        raise BucketExists(str(error)) from None
    return JSONResponse(_resource(name))


def _resource(name: str) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "metageneration": "1",
        "location": "LOCAL",
        "storageClass": "STANDARD",
    }
