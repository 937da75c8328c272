from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hostile import HOSTILE as HOSTILE_FILES
from hostile.directories import tiff
from pictures import animation, encode, noise

from demure.decoding.structure import check_bmp, check_heic_items, check_png, count_jpeg_scans, orientation, walk_gif
from demure.errors import Undecodable


@pytest.mark.parametrize("count", [1, 2, 9])
def test_gif_frames_are_counted(count: int):
    data = animation([noise(12, 9, seed=i) for i in range(count)])
    assert len(walk_gif(data, limit=1000)) == count


def test_gif_counting_stops_one_past_the_limit():
    data = animation([noise(12, 9, seed=i) for i in range(9)])
    assert len(walk_gif(data, limit=9)) == 9
    assert len(walk_gif(data, limit=8)) == 9
    assert len(walk_gif(data, limit=3)) == 4


def test_a_cut_gif_counts_up_to_the_cut():
    data = animation([noise(40, 30, seed=i) for i in range(4)])
    counts = [len(walk_gif(data[:cut], limit=1000)) for cut in range(13, len(data))]
    assert counts == sorted(counts)
    assert {*counts} == {0, 1, 2, 3, 4}


def test_a_gif_with_bytes_between_its_blocks_is_refused():
    data = encode(noise(12, 9), "GIF")
    with pytest.raises(Undecodable, match="between its blocks"):
        walk_gif(data[:-1] + b"\0" + data[-1:], limit=1000)


def test_bytes_behind_a_gifs_trailer_are_nobodys():
    data = animation([noise(12, 9, seed=i) for i in range(2)])
    assert len(walk_gif(data + b"\0" + data, limit=1000)) == 2


def later_frame(left: int, top: int, width: int, height: int) -> bytes:
    """A 12 x 9 GIF whose second frame claims this rectangle."""
    data = bytearray(animation([noise(12, 9, seed=i) for i in range(2)]))
    second = walk_gif(bytes(data), limit=1000)[1]
    descriptor = data.rindex(b"\x2c" + struct.pack("<4H", 0, 0, 12, 9), 0, second.data_at)
    data[descriptor + 1 : descriptor + 9] = struct.pack("<4H", left, top, width, height)
    return bytes(data)


def test_a_later_gif_frame_must_not_leave_the_picture():
    assert len(walk_gif(later_frame(2, 3, 10, 6), limit=1000)) == 2
    for rectangle in ((3, 3, 10, 6), (2, 4, 10, 6), (0, 0, 3000, 9)):
        with pytest.raises(Undecodable, match="beyond its picture"):
            walk_gif(later_frame(*rectangle), limit=1000)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_an_animated_png_must_say_one_thing():
    data = animation([noise(12, 9, seed=i) for i in range(3)], "PNG")
    check_png(data)
    check_png(encode(noise(12, 9), "PNG"))
    at = data.index(b"acTL") - 4
    again = data[:at] + png_chunk(b"acTL", struct.pack(">II", 3, 0)) + data[at:]
    fewer = data[:at] + png_chunk(b"acTL", struct.pack(">II", 1, 0)) + data[at + 20 :]
    for damaged, message in ((again, "acTL twice"), (fewer, "tells of")):
        with pytest.raises(Undecodable, match=message):
            check_png(damaged)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("png-header-missing", "begin with a header"),
        ("png-header-not-first", "begin with a header"),
        ("png-palette-missing", "no palette"),
        ("png-palette-of-four-bytes", "palette of 4 bytes"),
        ("png-transparency-short", "transparency of 2 bytes"),
        ("png-transparency-behind-the-data", "tRNS twice or out of its place"),
    ],
)
def test_a_png_whose_chunks_break_the_rules_is_refused(name: str, message: str):
    with pytest.raises(Undecodable, match=message):
        check_png(HOSTILE_FILES[name].build())


SHORT, LONG, ASCII = 3, 4, 2  # TIFF 6.0, section 2


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        (b"", 1),
        (b"Exif\0\0II*\0", 1),
        (tiff({0x112: (SHORT, [6])}), 6),
        (b"Exif\0\0" + tiff({0x112: (SHORT, [6])}), 6),
        (tiff({0x112: (SHORT, [8])}, order=">"), 8),
        (tiff({0x10F: (ASCII, list(b"a camera\0")), 0x112: (SHORT, [3]), 0x128: (SHORT, [2])}), 3),
        (tiff({0x112: (SHORT, [0])}), 1),
        (tiff({0x112: (SHORT, [9])}), 1),
        (tiff({0x112: (LONG, [6])}), 1),
        (tiff({0x112: (SHORT, [6, 6])}), 1),
        (tiff({0x112: (SHORT, [6])})[:-7], 1),
        (b"II*\0\xff\xff\xff\xff", 1),
        (b"II*\0\x08\0\0\0\xff\xff" + bytes(50), 1),
    ],
)
def test_orientation_is_read_as_browsers_read_it(exif: bytes, expected: int):
    assert orientation(exif) == expected


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xd8", b"\xff\x01"], ids=["fill-bytes", "starts", "temporary"])
def test_walking_a_jpeg_of_markers_alone_comes_to_an_end(filler: bytes):
    data = b"\xff\xd8" + filler * (20_000_000 // len(filler))
    scans = 0
    with contextlib.suppress(Undecodable):
        scans = count_jpeg_scans(data, limit=100)
    assert scans == 0


def test_a_baseline_jpeg_has_one_scan():
    assert count_jpeg_scans(encode(noise(64, 48), "JPEG"), limit=100) == 1


def test_the_scans_of_a_progressive_jpeg_are_those_of_libjpegs_default_script():
    # jpeg_simple_progression of libjpeg: 10 scans for YCbCr, 6 for grayscale.
    assert count_jpeg_scans(encode(noise(64, 48), "JPEG", progressive=True), limit=100) == 10
    gray = encode(noise(64, 48)[:, :, 0], "JPEG", progressive=True)
    assert count_jpeg_scans(gray, limit=100) == 6


def test_scan_markers_outside_the_first_image_do_not_count():
    data = encode(noise(64, 48), "JPEG", progressive=True)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 600) + b"\xff\xda" * 300
    assert count_jpeg_scans(data[:2] + thumbnail + data[2:] + b"\xff\xda\x00\x0c" * 500, limit=100) == 10


def test_jpeg_counting_stops_one_past_the_limit():
    data = encode(noise(64, 48), "JPEG", progressive=True)
    assert count_jpeg_scans(data, limit=10) == 10
    assert count_jpeg_scans(data, limit=9) == 10
    assert count_jpeg_scans(data, limit=4) == 5


def infe(version: int, name: bytes) -> bytes:
    """An item of a HEIC (ISO/IEC 14496-12, 8.11.6): its number, no protection, its type, its name."""
    number = struct.pack(">H" if version == 2 else ">I", 1)
    content = bytes([version, 0, 0, 0]) + number + bytes(2) + b"hvc1" + name + b"\0"
    return struct.pack(">I", 8 + len(content)) + b"infe" + content


@pytest.mark.parametrize("version", [2, 3])
def test_the_items_of_a_heic_are_named_in_utf_8(version: int):
    check_heic_items(b"before" + infe(version, "Müller".encode()) + infe(version, b"") + b"\xff behind")
    with pytest.raises(Undecodable, match="is not text"):
        check_heic_items(infe(version, b"good") + infe(version, "Müller".encode("latin-1")))


@pytest.mark.parametrize(
    ("bits", "told", "fits"), [(8, 256, True), (8, 257, False), (4, 17, False), (1, 2, True), (24, 9, True)]
)
def test_a_bmp_has_no_more_colours_than_its_bits_can_name(bits: int, told: int, fits: bool):
    """BITMAPINFOHEADER: biBitCount at 28, biClrUsed at 46 of the file. More are no reason to read less."""
    header = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, bits, 0, 0, 0, 0, told, 0)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 4 * told) + header + bytes(4 * told + 4)
    if fits:
        assert check_bmp(data) == (told if bits <= 8 else 0)
    else:
        with pytest.raises(Undecodable, match="does not fit"):
            check_bmp(data)
