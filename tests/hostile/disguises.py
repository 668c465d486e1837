"""Files that are no photo of ours, whatever they are called: judged by content, named in the answer."""

from __future__ import annotations

import base64
import gzip
from functools import cache

from shared.limits import MAX_BYTES
from shared.prediction import Reason
from tests.hostile.kinds import kinds, noise
from tests.pictures import picture, saved


@cache
def photo() -> bytes:
    return saved(picture(), "JPEG")


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/hostname">]><svg>&a;</svg>'
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><z>&b;</z>'

ALL = [
    *kinds(
        "file",
        Reason.UNSUPPORTED_MEDIA,
        gif=lambda: saved(picture(), "GIF"),
        gif_and_script=lambda: b"GIF89a/*" + saved(picture(), "GIF")[8:] + b"*/=1;alert(1)",
        bmp=lambda: saved(picture(), "BMP"),
        tiff=lambda: saved(picture(), "TIFF"),
        tiff_that_points_to_itself=lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        icon=lambda: saved(picture(), "ICO", sizes=[(32, 32)]),
        portable_pixmap=lambda: saved(picture(), "PPM"),
        targa=lambda: saved(picture(), "TGA"),
        heic=lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + noise(200),
        avif=lambda: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + noise(200),
        jpeg_xl=lambda: b"\xff\x0a" + noise(200),
        jpeg_2000=lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + noise(200),
        photoshop=lambda: b"8BPS\0\1" + bytes(40),
        openexr=lambda: b"v/1\x01" + bytes(40),
        qoi=lambda: b"qoif" + bytes(40),
        video=lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + noise(200),
        matroska=lambda: b"\x1aE\xdf\xa3" + noise(200),
        pdf=lambda: b"%PDF-1.7\n" + photo(),
        postscript=lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (w) file\n",
        svg=lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        svg_with_entities=lambda: ENTITIES,
        xml_that_laughs=lambda: LAUGHS,
        web_page=lambda: b"<!DOCTYPE html><html><img src=x onerror=alert(1)></html>",
        shell_script=lambda: b"#!/bin/sh\nexit 1\n",
        program=lambda: b"\x7fELF\x02\x01\x01" + bytes(60),
        zip=lambda: b"PK\x03\x04" + noise(200),
        gzip=lambda: gzip.compress(photo(), mtime=0),
        gzip_bomb=lambda: gzip.compress(bytes(32 << 20), 1, mtime=0),
        base64_text=lambda: base64.b64encode(photo()),
        data_url=lambda: b"data:image/jpeg;base64," + base64.b64encode(photo()),
        json=lambda: b'{"image": "photo.jpg"}',
        text=lambda: b"just a few words, and not a picture at all",
        zeros=lambda: bytes(4096),
        noise=lambda: noise(4096),
        one_byte=lambda: b"\xff",
        line_end=lambda: b"\n",
        photo_backwards=lambda: photo()[::-1],
        photo_after_a_web_page=lambda: b"<html>" + photo(),
    ),
    *kinds("file", Reason.CORRUPT_IMAGE, empty=lambda: b""),
    *kinds(
        "file",
        Reason.TOO_LARGE,
        photo_of_20_MiB_and_one_byte=lambda: photo() + bytes(MAX_BYTES + 1 - len(photo())),
        zeros_of_21_MiB=lambda: bytes(21 << 20),
    ),
]
