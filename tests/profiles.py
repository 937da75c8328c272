"""ICC profiles made by hand, for tests that know what a screen shows. Source: ICC.1:2022, sections 7 to 10."""

from __future__ import annotations

import struct

# The colorants of sRGB, adapted to D50 (IEC 61966-2-1).
RED_XYZ, GREEN_XYZ, BLUE_XYZ = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
D50 = (0.9642, 1.0, 0.8249)


def profile(
    tags: dict[bytes, bytes], space: bytes = b"RGB ", pcs: bytes = b"XYZ ", kind: bytes = b"mntr", version: int = 2
) -> bytes:
    """The header, a table of the tags, and the tags in their order."""
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = at + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s", size, b"", version << 24, kind, space, pcs, bytes(12), b"acsp")
    return header.ljust(68, b"\0") + _fixed(*D50).ljust(60, b"\0") + table + body


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def curve(*levels: int) -> bytes:
    """`levels` of 0 to 65535 from black to white; none is the identity."""
    return struct.pack(">4s4xI", b"curv", len(levels)) + b"".join(struct.pack(">H", v) for v in levels)


def gamma(exponent: float) -> bytes:
    return b"para\0\0\0\0\0\0\0\0" + _fixed(exponent)


def matrix_profile(
    trc: bytes,
    red: tuple[float, float, float] = RED_XYZ,
    green: tuple[float, float, float] = GREEN_XYZ,
    blue: tuple[float, float, float] = BLUE_XYZ,
) -> bytes:
    """Three curves and three colorants: of sRGB, if no others are given."""
    return profile(
        {
            b"wtpt": xyz(*D50),
            b"rXYZ": xyz(*red),
            b"gXYZ": xyz(*green),
            b"bXYZ": xyz(*blue),
            b"rTRC": trc,
            b"gTRC": trc,
            b"bTRC": trc,
        }
    )


def gray_profile(trc: bytes) -> bytes:
    return profile({b"wtpt": xyz(*D50), b"kTRC": trc}, space=b"GRAY")


def lut_profile(
    corners: list[tuple[int, int, int]], space: bytes = b"RGB ", channels: int = 3, kind: bytes = b"mntr"
) -> bytes:
    """An mft2 of two grid points a channel: `corners` are Lab as 16 bits, the last channel varies fastest."""
    identity = struct.pack(">HH", 0, 65535)
    head = struct.pack(">4s4xBBBx", b"mft2", channels, 3, 2) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b"".join(struct.pack(">3H", *corner) for corner in corners)
    lut = head + struct.pack(">HH", 2, 2) + identity * channels + table + identity * 3
    return profile({b"wtpt": xyz(*D50), b"A2B0": lut}, space, b"Lab ", kind)


GAMMA_2_2 = gamma(2.2)
INVERTING_CURVE = curve(*(round(65535 * ((255 - i) / 255) ** 2.2) for i in range(256)))
# What is stored as green is shown red, and the other way round.
SWAPPED = matrix_profile(GAMMA_2_2, red=GREEN_XYZ, green=RED_XYZ)
INVERTING = matrix_profile(INVERTING_CURVE)
LINEAR = matrix_profile(gamma(1))

# Matrix profiles as others publish them: colorants under D50.
USUAL = {
    "srgb": matrix_profile(GAMMA_2_2),
    "display-p3": matrix_profile(
        GAMMA_2_2, (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)
    ),
    "adobe-rgb": matrix_profile(
        GAMMA_2_2, (0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)
    ),
    "prophoto": matrix_profile(gamma(1.8), (0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0001), (0.0313, 0.0001, 0.8249)),
    "gamma-1.8": matrix_profile(gamma(1.8)),
}
