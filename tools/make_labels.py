"""Make examples/labels.csv: made-up scores with made-up labels, to try `demure evaluate` and `demure calibrate` on.

No image stands behind it, and it says nothing of how good any model is. It has what real sets have: clear images, swimwear, drawn
ones on which the two models differ, two sections of a site with different mixes, and two labels that are wrong.

    python tools/make_labels.py
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "examples" / "labels.csv"
CATEGORIES = ("drawings", "hentai", "neutral", "porn", "sexy")
# label, images, the weights that categories are drawn with (Dirichlet), the witness (Beta), the share from the section `art`
KINDS = [
    ("adult", 760, (0.1, 0.6, 0.5, 8.0, 1.2), (5.0, 0.9), 0.1),
    ("adult", 130, (1.2, 6.0, 0.3, 0.6, 0.1), (2.5, 2.5), 0.8),
    ("adult", 60, (0.1, 0.2, 1.6, 2.6, 2.5), (3.0, 1.8), 0.2),
    ("safe", 1600, (0.3, 0.05, 9.0, 0.15, 0.5), (0.3, 9.0), 0.2),
    ("safe", 450, (7.0, 0.6, 1.2, 0.1, 0.05), (0.3, 7.0), 0.9),
    ("safe", 200, (0.1, 0.05, 3.0, 0.7, 4.0), (1.0, 5.0), 0.1),
]


def main() -> None:
    random = np.random.default_rng(20261123)
    rows = []
    for label, images, weights, witness, art in KINDS:
        categories = random.dirichlet(weights, images).round(4)
        for scores in categories:
            section = "art" if random.random() < art else "photos"
            rows.append([label, section, *scores, round(random.beta(*witness), 4)])
    rows[0][0], rows[-1][0] = "safe", "adult"  # as people err
    order = random.permutation(len(rows))
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "section", *CATEGORIES, "open_nsfw"])
        writer.writerows(rows[place] for place in order)


if __name__ == "__main__":
    main()
