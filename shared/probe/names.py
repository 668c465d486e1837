"""What an unsupported file looks like, so that the answer can name it."""

from __future__ import annotations

_UNKNOWN = "The file is not a picture that we know."
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF or raw camera picture"),
    (b"MM\0*", "a TIFF or raw camera picture"),
    (b"II+\0", "a TIFF picture"),
    (b"MM\0+", "a TIFF picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"qoif", "a QOI picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"data:", "a data URL instead of the file itself"),
    (b"/9j/", "base64 text instead of the file itself"),
    (b"iVBORw0KGgo", "base64 text instead of the file itself"),
    (b"UklGR", "base64 text instead of the file itself"),
    (b"PNG\r\n", "a PNG whose first byte is missing"),
    (b"\xc2\x89PNG", "a PNG that was sent as text"),
    (b"\x89PNG", "a PNG whose line ends were changed on the way"),
    (b"\xef\xbf\xbd", "a file that was sent as text"),
)
_BRANDS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "a HEIC picture, as iPhones take them"),
    ((b"avif", b"avis"), "an AVIF picture"),
    ((b"crx ",), "a raw camera picture"),
)
_TEXT_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
)


def looks_like(head: bytes) -> str:
    """A sentence about a file that begins with `head` (some 256 bytes)."""
    name = _name(head)
    return f"This looks like {name}." if name else _UNKNOWN


def _name(head: bytes) -> str:
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[4:8] == b"ftyp":
        return next((name for brands, name in _BRANDS if head[8:12] in brands), "a video")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, name in _TEXT_STARTS:
        if text.startswith(start):
            return name
    if text.startswith((b"<?xml", b"<!--")):
        return "an SVG drawing" if b"<svg" in text else "an XML document"
    return ""
