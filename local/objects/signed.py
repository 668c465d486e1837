"""Signed URLs: what a phone or a page does with the URL that the API gave it, from any origin."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from local.objects import resumable
from local.objects.hashes import hashes_of_headers
from local.objects.intake import take
from local.objects.media import download, headers_of
from local.objects.service import Service
from local.objects.upload import Upload
from shared.adapters.local.entries import Description, Preconditions
from shared.adapters.local.signing import Grant, path_of
from shared.api.threads import in_thread
from shared.errors import Denied, Malformed
from shared.ports import Method

_DIGITS = 18
_SESSION = "upload_id"
_EXPOSED = (
    "content-length, content-range, etag, location, range,"
    " x-goog-generation, x-goog-hash, x-goog-metageneration, x-guploader-uploadid"
)
CROSS_ORIGIN = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": _EXPOSED,
    "cross-origin-resource-policy": "cross-origin",  # whoever has the link may show the picture
}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, PUT, POST, DELETE",
    "access-control-allow-headers": "content-md5, content-range, content-type, if-none-match, if-range, range,"
    " x-goog-content-length-range, x-goog-hash, x-goog-if-generation-match, x-goog-resumable",
    "access-control-max-age": "3600",
}


async def put(service: Service, bucket: str, name: str, request: Request) -> Response:
    """Creates the object; 412 if there is one. With an upload's id: a piece of it."""
    if _SESSION in request.query_params:
        return await resumable.carry_on(service, request.query_params[_SESSION], request, "signed")
    grant = await _granted(service, "PUT", bucket, name, request)
    _check_headers(grant, request.headers)
    upload = _upload(grant, request.headers)
    declared = request.headers.get("content-length")
    if declared is not None:
        upload.check_size(_length(declared))
    entry = await take(service, upload, request.stream(), "signed")
    return Response(headers=headers_of(entry))


async def start(service: Service, bucket: str, name: str, request: Request) -> Response:
    """Begins a resumable upload. Its id is as good as a signature: whoever knows it may send, ask, cancel."""
    grant = await _granted(service, "POST", bucket, name, request)
    _check_headers(grant, request.headers)
    key = await in_thread(service.sessions.start, _upload(grant, request.headers))
    location = f"{service.objects.base_url}{path_of('POST', bucket, name)}?{_SESSION}={key}"
    return Response(status_code=201, headers={"location": location, "x-guploader-uploadid": key})


async def cancel(service: Service, request: Request) -> Response:
    return await resumable.cancel(service, request.query_params.get(_SESSION, ""))


async def get(service: Service, bucket: str, name: str, request: Request) -> Response:
    await _granted(service, "GET", bucket, name, request)
    return await download(service, bucket, name, request.headers)


async def preflight(_: Request) -> Response:
    """What a browser asks before it sends a request from a page of another origin. Says nothing of the URL."""
    return Response(status_code=204, headers=_PREFLIGHT)


async def _granted(service: Service, method: Method, bucket: str, name: str, request: Request) -> Grant:
    return await in_thread(service.objects.signer.verify, method, bucket, name, dict(request.query_params))


def _check_headers(grant: Grant, headers: Headers) -> None:
    """Cloud Storage signs these headers, so that a request without them fails there, too."""
    for name, value in grant.headers().items():
        if headers.get(name) != value:
            raise Denied(f"the URL was signed for the header {name}: {value}")


def _upload(grant: Grant, headers: Headers) -> Upload:
    kind = grant.content_type or headers.get("content-type", "")
    return Upload(
        Description(grant.bucket, grant.name, kind),
        Preconditions(generation=0),
        hashes_of_headers(headers.getlist("x-goog-hash"), headers.get("content-md5", "")),
        least=1 if grant.max_bytes else 0,
        most=grant.max_bytes,
    )


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise Malformed("Content-Length is a number")
    return int(text)
