"""Conditions on single fields that are no plain ranges, for the annotations in `settings.py`."""

from __future__ import annotations

import re

from glcic_jax.config.fields import Rule, shown

SOURCE_NAMES = ("photos", "cifar100", "folder:PATH")
MASK_KINDS = (
    *("rectangle", "rectangles", "freeform", "pixels", "blobs", "specks", "text"),
    "mixed",
)
PROTOCOLS = ("rectangle", "center", "freeform", "pixels")
"""Kinds of the holes that are scored, besides folder:PATH."""


def _wrong_sources(sources: tuple[str, ...]) -> str | None:
    if not sources:
        return f" is empty; name {', '.join(SOURCE_NAMES)}"
    for source in sources:
        known = source in ("photos", "cifar100") or (
            source.startswith("folder:") and len(source) > len("folder:")
        )
        if not known:
            return f" has {source!r}; known are {', '.join(SOURCE_NAMES)}"
    return None


def _wrong_shares(shares: tuple[float, ...]) -> str | None:
    is_right = len(shares) in (4, 5, 7, 8) and all(0 <= share <= 1e6 for share in shares)
    if is_right and sum(shares) > 0:
        return None
    return (
        f" is {shares}; give four numbers from 0 to 1e6, for one rectangle, several, strokes and "
        "pixels, or seven, for blobs, specks and text as well, and one more for a folder, not 0 "
        "for all of them"
    )


def _wrong_kind(kind: str) -> str | None:
    start, colon, path = kind.partition("folder:")
    if kind in MASK_KINDS or (colon and path and start in ("", "mixed+")):
        return None
    return f" is {kind!r}; choose one of {', '.join(MASK_KINDS)}, folder:PATH and mixed+folder:PATH"


def _wrong_protocols(protocols: tuple[str, ...]) -> str | None:
    for protocol in protocols:
        if protocol not in PROTOCOLS and not re.fullmatch("folder:.+", protocol):
            return f" has {protocol!r}; choose from {', '.join(PROTOCOLS)} and folder:PATH"
    return None


def _wrong_window(share: float) -> str | None:
    if 0 < share <= 1:
        return None
    return (
        f" is {shown(share)} of the image side; the local window can't be larger than the image, "
        "nor empty: give a fraction above 0 and at most 1"
    )


def _odd(number: int) -> str | None:
    return f" is {number}; it must be even" if number % 2 else None


EVEN = Rule(_odd)
KIND_OF_MASKS = Rule(_wrong_kind)
"""One of `MASK_KINDS`, or with a folder."""
KINDS_OF_HOLES = Rule(_wrong_protocols)
"""`PROTOCOLS`, or folders."""
SOURCES = Rule(_wrong_sources)
"""At least one of `SOURCE_NAMES`."""
SHARES_OF_KINDS = Rule(_wrong_shares)
SHARE_OF_SIDE = Rule(_wrong_window)
"""Above 0 and at most 1."""


def _wrong_limit(limit: int | None) -> str | None:
    if limit is None or limit >= 1:
        return None
    return f" is {limit}; it must be at least 1, or left out for all images"


LIMIT = Rule(_wrong_limit)
"""How many images to use, from the first; None: all."""
