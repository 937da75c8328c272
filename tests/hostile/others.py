"""Hostile files that are no image, of a format that we do not read, or two things at once."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

from pictures import encode, noise

from hostile.avif import avif_type
from hostile.bmp import bmp
from hostile.boxes import box
from hostile.damage import PICTURE, patched
from hostile.ends import BAD, LARGE, LIMITS, NONE, OTHER, SHOWN, Rows
from hostile.gif import BLACK_AND_WHITE, filled, gif
from hostile.jpeg import good_jpeg, segment, with_segments
from hostile.png import PNG_SIGNATURE, chunk, png
from hostile.tiff import gray_tiff
from hostile.webp import riff, vp8


def zip_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def laughs(depth: int = 9) -> bytes:
    """Entities that name each other ten times over."""
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, depth))
    return f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY l0 "lol">{entities}]><svg>&l{depth - 1};</svg>'.encode()


SCRIPT = b"<script>alert(1)</script>"

FILES: Rows = {
    "empty": ("empty_body", lambda: b""),
    "one-byte": (NONE, lambda: b"\xff"),
    "past-the-limit-of-bytes": ("too_large", lambda: png() + bytes(LIMITS.max_bytes)),
    "at-the-limit-of-bytes": (SHOWN, lambda: (d := png()) + bytes(LIMITS.max_bytes - len(d))),
    "zeros": (NONE, lambda: bytes(100_000)),
    "noise": (NONE, lambda: b"\x07" + noise(100, 100).tobytes()),
    "text": (NONE, lambda: b"Dear Sir or Madam,\n" * 100),
    "text-utf-16": (NONE, lambda: "Dear Sir".encode("utf-16")),
    "html": (NONE, lambda: b"<!DOCTYPE html><html>" + SCRIPT),
    "xml": (NONE, lambda: b'<?xml version="1.0"?><note/>'),
    "json": (NONE, lambda: b'{"image": "yes"}'),
    "javascript": (NONE, lambda: b"alert(1)"),
    "python-pickle": (NONE, lambda: b"\x80\x04cos\nsystem\n(S'id'\ntR."),
    "program-elf": (NONE, lambda: b"\x7fELF\2\1\1" + bytes(99)),
    "program-windows": (NONE, lambda: b"MZ" + bytes(99)),
    "java-class": (NONE, lambda: b"\xca\xfe\xba\xbe" + bytes(99)),
    "font": (NONE, lambda: b"\0\1\0\0\0\x0c\0\x80" + bytes(99)),
    "font-woff": (NONE, lambda: b"wOF2" + bytes(99)),
    "sound": (NONE, lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(99)),
    "archive-zip": (NONE, lambda: zip_of("a.png", png())),
    "archive-tar": (NONE, lambda: tar_of("a.png", png())),
    "archive-7z": (NONE, lambda: b"7z\xbc\xaf\x27\x1c" + bytes(99)),
    "archive-gzip-bomb": (OTHER, lambda: gzip.compress(bytes(10_000_000))),
    "gzip-of-a-picture": (OTHER, lambda: gzip.compress(png())),
    "video-mp4": (OTHER, lambda: box(b"ftyp", b"isom" + bytes(4) + b"isomavc1") + box(b"mdat", bytes(99))),
    "video-mp4-without-size": (OTHER, lambda: box(b"ftyp", b"mp42", size=0)),
    "video-webm": (OTHER, lambda: b"\x1a\x45\xdf\xa3" + bytes(99)),
    "video-avi": (OTHER, lambda: b"RIFF\x24\0\0\0AVI LIST" + bytes(99)),
    "svg": (OTHER, lambda: b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>"),
    "svg-of-a-billion-laughs": (OTHER, laughs),
    "svg-that-reads-files": (
        OTHER,
        lambda: b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    ),
    "svg-huge": (OTHER, lambda: b'<svg width="999999999" height="999999999"/>'),
    "svg-zero": (OTHER, lambda: b'<svg width="0" height="0"/>'),
    "pdf": (OTHER, lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF"),
    "postscript": (OTHER, lambda: b"%!PS-Adobe-3.0\n(%pipe%id) (r) file\n"),
    "postscript-encapsulated": (OTHER, lambda: b"\xc5\xd0\xd3\xc6" + bytes(99)),
    "photoshop": (OTHER, lambda: b"8BPS\0\1" + bytes(99)),
    "icon": (OTHER, lambda: encode(PICTURE, "ICO")),
    "jpeg-2000": (OTHER, lambda: encode(PICTURE, "JPEG2000")),
    "jpeg-xl": (OTHER, lambda: b"\xff\x0a" + bytes(99)),
    "ppm": (OTHER, lambda: encode(PICTURE, "PPM")),
    "tga": (f"{NONE} {OTHER}", lambda: encode(PICTURE, "TGA")),
    "dds": (OTHER, lambda: encode(PICTURE, "DDS")),
    "polyglot-gif-and-java-archive": (SHOWN, lambda: gif(filled()) + zip_of("A.class", b"\xca\xfe\xba\xbe")),
    "polyglot-gif-and-script": (
        SHOWN,
        # The screen's width and height read as "/*": the classical script in a GIF, with the comment closed behind it.
        lambda: b"GIF89a/*\x30\0\x80\0\0" + BLACK_AND_WHITE + filled(0x2A2F, 48) + b";*/=1;alert(1)",
    ),
    "polyglot-jpeg-and-html": (SHOWN, lambda: with_segments(segment(0xFE, b"<html>" + SCRIPT + b"<!--"))),
    "polyglot-jpeg-and-zip": (SHOWN, lambda: good_jpeg() + zip_of("a.txt", b"x")),
    "polyglot-jpeg-and-phar": (
        SHOWN,
        lambda: with_segments(segment(0xFE, b"<?php __HALT_COMPILER(); ?>\r\n")) + tar_of(".phar/stub.php", b"<?php"),
    ),
    "polyglot-jpeg-and-pdf": (SHOWN, lambda: with_segments(segment(0xFE, b"%PDF-1.7\n1 0 obj<<>>endobj"))),
    "polyglot-pdf-and-jpeg": (OTHER, lambda: b"%PDF-1.7\n" + good_jpeg()),
    "polyglot-png-and-zip": (SHOWN, lambda: png() + zip_of("a.txt", b"x")),
    "polyglot-png-and-php": (SHOWN, lambda: png(before=chunk(b"tEXt", b"k\0<?php system($_GET[0]); ?>"))),
    "polyglot-png-and-html": (SHOWN, lambda: png(before=chunk(b"tEXt", b"k\0" + SCRIPT))),
    "polyglot-bmp-and-script": (SHOWN, lambda: patched(bmp(), 2, b"/**/") + b"=1;alert(1)"),
    "polyglot-zip-and-png": (NONE, lambda: zip_of("a.txt", b"x") + png()),
    "polyglot-html-and-svg": (NONE, lambda: b"<html><svg></svg></html>"),
    "polyglot-tiff-and-pdf": (SHOWN, lambda: gray_tiff() + b"%PDF-1.7\n"),
    "polyglot-webp-and-script": (SHOWN, lambda: riff(vp8()) + SCRIPT),
    "magic-of-png-with-a-gif": (BAD, lambda: PNG_SIGNATURE + gif(filled())),
    "magic-of-gif-with-a-png": (BAD, lambda: b"GIF89a" + png()),
    "magic-of-tiff-with-noise": (BAD, lambda: b"II*\0" + noise(20, 20).tobytes()),
    "magic-of-webp-with-a-jpeg": (BAD, lambda: b"RIFF\xff\xff\0\0WEBP" + good_jpeg()),
    "magic-of-bmp-with-noise": (f"{BAD} {LARGE}", lambda: b"BM" + bytes(12) + b"\x28\0\0\0" + noise(20, 20).tobytes()),
    "magic-of-avif-with-noise": (BAD, lambda: avif_type() + noise(20, 20).tobytes()),
    "magic-of-heic-with-noise": (BAD, lambda: avif_type(b"heic") + noise(20, 20).tobytes()),
}
