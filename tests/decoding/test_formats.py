from __future__ import annotations

import struct

import pytest
from pictures import encode, gradient

from demure.decoding.formats import (
    Format,
    sniff,
)
from demure.errors import EmptyBody, NotAnImage, UnsupportedFormat

SMALL = gradient(20, 10)
ISO = struct.pack(">I4s4sI", 24, b"ftyp", b"mif1", 0)

READ = {
    "jpeg": (encode(SMALL, "JPEG"), Format.JPEG),
    "png": (encode(SMALL, "PNG"), Format.PNG),
    "webp": (encode(SMALL, "WEBP"), Format.WEBP),
    "gif": (encode(SMALL, "GIF"), Format.GIF),
    "gif-87": (b"GIF87a" + bytes(20), Format.GIF),
    "bmp": (encode(SMALL, "BMP"), Format.BMP),
    "tiff-little": (encode(SMALL, "TIFF"), Format.TIFF),
    "tiff-big": (b"MM\0*" + bytes(20), Format.TIFF),
    "bigtiff": (encode(SMALL, "TIFF", big_tiff=True), Format.TIFF),
    "avif": (encode(SMALL, "AVIF"), Format.AVIF),
    "avif-sequence": (struct.pack(">I4s4sI4s", 20, b"ftyp", b"avis", 0, b"avif"), Format.AVIF),
    "heic": (struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1"), Format.HEIC),
    "mif1-with-avif": (ISO + b"miafavif", Format.AVIF),
    "mif1-with-heic": (ISO + b"mif1heic", Format.HEIC),
}


@pytest.mark.parametrize(("data", "expected"), READ.values(), ids=READ)
def test_a_format_is_told_by_its_bytes(data: bytes, expected: Format):
    assert sniff(data) is expected


UNREAD = {
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "svg-after-xml": (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "SVG"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "psd": (b"8BPS\0\1", "Photoshop"),
    "ico": (b"\0\0\1\0\1\0", "ICO"),
    "jpeg-xl": (b"\xff\x0a\x00", "JPEG XL"),
    "jpeg-xl-box": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    "jpeg-2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "pnm": (b"P6\n2 2\n255\n", "PNM"),
    "qoi": (b"qoif\0\0", "QOI"),
    "webm": (b"\x1a\x45\xdf\xa3", "WebM"),
    "avi": (b"RIFF\0\0\0\0AVI ", "AVI"),
    "mp4": (struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0), "'isom'"),
}


@pytest.mark.parametrize(("data", "name"), UNREAD.values(), ids=UNREAD)
def test_a_known_format_that_is_not_read_is_refused_by_name(data: bytes, name: str):
    with pytest.raises(UnsupportedFormat, match=name):
        sniff(data)


@pytest.mark.parametrize(
    "data",
    [b"hello", b"<html><body><svg></html>", b"BM" + b"\xff" * 30, b"RIFF....WAVE", bytes(64), b"MZ", b"\xff\xd8"],
    ids=["text", "html", "bm-without-header", "wave", "zeros", "program", "half-a-jpeg-signature"],
)
def test_what_is_no_image_is_refused(data: bytes):
    with pytest.raises(NotAnImage, match="JPEG, PNG"):
        sniff(data)


def test_no_bytes_are_refused_as_such():
    with pytest.raises(EmptyBody):
        sniff(b"")


HOSTILE = {
    "svg-comments": b"<!--" * 5_000_000,
    "svg-declarations": b"<?xml " * 3_000_000,
    "spaces": b" " * 20_000_000,
    "nothing-known": b"\x07" * 20_000_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_telling_a_format_looks_at_a_few_bytes_only(data: bytes):
    with pytest.raises((NotAnImage, UnsupportedFormat)):
        sniff(data)
