"""The boxes of AVIF and HEIC, and the damage that both formats share. Sources: ISO/IEC 14496-12, 23008-12."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hostile.damage import flips, half, patched
from hostile.ends import BAD, EITHER, LARGE, NONE, OTHER, SHOWN, Rows

ESSENTIAL = 0x80  # a property that a reader must understand, or not show the item


def box(kind: bytes, content: bytes = b"", *, size: int | None = None) -> bytes:
    return struct.pack(">I", len(content) + 8 if size is None else size) + kind + content


def box_at(data: bytes, kind: bytes) -> int:
    """Where the box's size stands."""
    return data.index(kind) - 4


def number_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def box_end(data: bytes, kind: bytes) -> int:
    return box_at(data, kind) + number_at(data, box_at(data, kind))


def box_size(data: bytes, kind: bytes, size: int) -> bytes:
    return patched(data, box_at(data, kind), struct.pack(">I", size))


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Another size in the ispe property: version and flags, width, height."""
    return patched(data, box_at(data, b"ispe") + 12, struct.pack(">II", width, height))


def dropped(data: bytes, kind: bytes) -> bytes:
    """The box renamed to what nobody knows, so that all offsets stay right."""
    return patched(data, box_at(data, kind) + 4, b"skip")


def in_box(data: bytes, kind: bytes, offset: int, content: bytes) -> bytes:
    """Bytes in a box, counted from its kind's end."""
    return patched(data, box_at(data, kind) + 8 + offset, content)


def type_box(data: bytes) -> bytes:
    return data[: number_at(data, 0)]


def up_to_data(data: bytes) -> bytes:
    """What stands before the content of mdat."""
    return data[: box_at(data, b"mdat") + 8]


def with_property(data: bytes, added: bytes) -> bytes:
    """One more property in ipco, that its first item has; offsets and sizes moved along."""
    properties_end = box_end(data, b"ipco")
    # ipma: version and flags, the number of items, then for each its id, the number of its properties, their numbers.
    count_at = box_at(data, b"ipma") + 18
    item_end = count_at + 1 + data[count_at]
    number = count_properties(data) + 1
    moved = len(added) + 1  # the property, and its number
    data = patched(data, count_at, bytes([data[count_at] + 1]))
    for kind, growth in ((b"ipco", len(added)), (b"ipma", 1), (b"iprp", moved), (b"meta", moved)):
        data = box_size(data, kind, number_at(data, box_at(data, kind)) + growth)
    data = patched(data, item_at(data), struct.pack(">I", box_at(data, b"mdat") + 8 + moved))
    return data[:properties_end] + added + data[properties_end:item_end] + bytes([ESSENTIAL | number]) + data[item_end:]


def count_properties(data: bytes) -> int:
    count, at = 0, box_at(data, b"ipco") + 8
    while at < box_end(data, b"ipco"):
        count, at = count + 1, at + number_at(data, at)
    return count


def item_at(data: bytes) -> int:
    """Where iloc holds the first item's offset and length, four bytes each: the offset is that of mdat's content."""
    return data.index(struct.pack(">I", box_at(data, b"mdat") + 8))


def nested_boxes(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = box(b"meta", bytes(4) + data)
    return data


def damaged_boxes(name: str, good: Callable[[], bytes]) -> Rows:
    return {
        f"{name}-zero-size": (BAD, lambda: claiming(good(), 0, 0)),
        f"{name}-zero-width": (BAD, lambda: claiming(good(), 0, 48)),
        f"{name}-huge": (f"{LARGE} {BAD}", lambda: claiming(good(), 12_000, 12_000)),
        f"{name}-huge-2**32-1": (f"{LARGE} {BAD}", lambda: claiming(good(), 2**32 - 1, 2**32 - 1)),
        f"{name}-huge-at-the-limit": (EITHER, lambda: claiming(good(), 2_000, 2_000)),
        f"{name}-size-of-another": (EITHER, lambda: claiming(good(), 32, 32)),
        **{
            f"{name}-without-{kind}": (BAD, lambda k=kind: dropped(good(), k.encode()))
            for kind in ("meta", "pitm", "iloc", "iinf", "iprp", "ispe", "ipma")
        },
        f"{name}-without-mdat": (EITHER, lambda: dropped(good(), b"mdat")),
        **{
            f"{name}-{kind}-size-{size}": (EITHER, lambda k=kind, s=size: box_size(good(), k.encode(), s))
            for kind in ("meta", "iloc", "iprp", "mdat")
            for size in (0, 1, 7, 2**32 - 1)
        },
        f"{name}-type-only": (BAD, lambda: type_box(good())),
        f"{name}-type-size-zero": (EITHER, lambda: patched(good(), 0, bytes(4))),
        f"{name}-data-beyond-the-file": (BAD, lambda: up_to_data(good())),
        f"{name}-data-of-zeros": (BAD, lambda: up_to_data(good()) + bytes(len(good()))),
        f"{name}-data-of-ones": (BAD, lambda: up_to_data(good()) + b"\xff" * len(good())),
        f"{name}-item-offset-2**32-1": (BAD, lambda: patched(good(), item_at(good()), b"\xff" * 4)),
        f"{name}-item-length-2**32-1": (BAD, lambda: patched(good(), item_at(good()) + 4, b"\xff" * 4)),
        f"{name}-primary-item-65535": (BAD, lambda: in_box(good(), b"pitm", 4, b"\xff\xff")),
        f"{name}-items-65535": (EITHER, lambda: in_box(good(), b"iinf", 4, b"\xff\xff")),
        f"{name}-cut-in-half": (BAD, lambda: half(good())),
        f"{name}-bytes-behind-the-end": (SHOWN, lambda: good() + b"tail" * 999),
        f"{name}-nested-boxes": (BAD, lambda: type_box(good()) + nested_boxes(5_000)),
        **flips(name, f"{EITHER} {LARGE} {OTHER} {NONE}", good, range(6)),
    }
