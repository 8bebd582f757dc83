"""One equal square a province, roughly where it lies: a way to see provinces beside each other that draws no border at all.

Codes are those of GB/T 2260 at the level of provinces: 31 and Hong Kong, Macao, Taiwan. Positions are ours, (column, row) from the
upper left. Squares of equal size say nothing about area, so that Shanghai can be seen as well as Tibet.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CHARACTERS", "COLUMNS", "LETTERS", "PROVINCES", "ROWS", "fits"]

PROVINCES: dict[str, tuple[int, int]] = {
    "23": (8, 0),
    "15": (6, 1), "22": (8, 1),
    "65": (0, 2), "62": (2, 2), "64": (3, 2), "14": (5, 2), "13": (6, 2), "11": (7, 2), "21": (8, 2),
    "63": (1, 3), "61": (4, 3), "41": (5, 3), "37": (6, 3), "12": (7, 3),
    "54": (0, 4), "51": (2, 4), "50": (3, 4), "42": (4, 4), "34": (5, 4), "32": (6, 4), "31": (7, 4),
    "53": (2, 5), "52": (3, 5), "43": (4, 5), "36": (5, 5), "33": (6, 5),
    "45": (3, 6), "44": (4, 6), "35": (5, 6), "71": (7, 6),
    "46": (3, 7), "82": (4, 7), "81": (5, 7),
}  # fmt: skip

LETTERS = {
    "11": "BJ", "12": "TJ", "13": "HE", "14": "SX", "15": "NM", "21": "LN", "22": "JL", "23": "HL", "31": "SH",
    "32": "JS", "33": "ZJ", "34": "AH", "35": "FJ", "36": "JX", "37": "SD", "41": "HA", "42": "HB", "43": "HN",
    "44": "GD", "45": "GX", "46": "HI", "50": "CQ", "51": "SC", "52": "GZ", "53": "YN", "54": "XZ", "61": "SN",
    "62": "GS", "63": "QH", "64": "NX", "65": "XJ", "71": "TW", "81": "HK", "82": "MO",
}  # fmt: skip
"""The standard's own two letters, short enough for a tile."""

CHARACTERS = {
    "11": "京", "12": "津", "13": "冀", "14": "晋", "15": "蒙", "21": "辽", "22": "吉", "23": "黑", "31": "沪",
    "32": "苏", "33": "浙", "34": "皖", "35": "闽", "36": "赣", "37": "鲁", "41": "豫", "42": "鄂", "43": "湘",
    "44": "粤", "45": "桂", "46": "琼", "50": "渝", "51": "川", "52": "贵", "53": "云", "54": "藏", "61": "陕",
    "62": "甘", "63": "青", "64": "宁", "65": "新", "71": "台", "81": "港", "82": "澳",
}  # fmt: skip
"""The usual Chinese short names, one character each."""

COLUMNS = 1 + max(column for column, _ in PROVINCES.values())
ROWS = 1 + max(row for _, row in PROVINCES.values())


def fits(codes: Iterable[str]) -> bool:
    """Whether these are codes of provinces, so that a tile can be drawn for each."""
    found = set(codes)
    return bool(found) and found <= set(PROVINCES)
