"""Random changes of valid files; many leave the outside valid, so that the inside is read."""

from __future__ import annotations

import io
import random
import re
import zipfile
import zlib


def changed(raw: bytes, draw: random.Random) -> bytes:
    """One to four changes of bytes."""
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randrange(len(raw) + 1), draw.choice((1, 2, 4, 8, 64, 1000))
        way = draw.randrange(6)
        if way == 0:
            raw = raw[:place]
        elif way == 1:
            raw = raw[:place] + raw[place + length :]
        elif way == 2:
            raw = raw[:place] + draw.randbytes(length) + raw[place:]
        elif way == 3:
            value = draw.choice((0, 0xFF, 0x7F, 0x80, draw.randrange(256)))
            raw = raw[:place] + bytes([value]) * length + raw[place + length :]
        elif way == 4:
            raw = raw[:place] + raw[place : place + length] * draw.choice((2, 50)) + raw[place:]
        elif place < len(raw):
            raw = raw[:place] + bytes([raw[place] ^ 1 << draw.randrange(8)]) + raw[place + 1 :]
    return raw


_VALUES = (
    *b"null true -1 0 1e999 NaN -Infinity 1e308 2147483648 9007199254740993 0.5".split(),
    *b'1000000 "x" "" [] {} [[]] [1,2] ["a"] {"a":1} "\\ud800" [2,1000000] [0] [-3]'.split(),
    *(b"9" * 400, b"[" * 100_000, b'{"a":' * 100_000),
)


def changed_text(raw: bytes, draw: random.Random) -> bytes:
    """One to four changes of JSON, most of which leave it valid."""
    for _ in range(draw.randint(1, 4)):
        way = draw.random()
        if way < 0.5:
            raw = _changed_number(raw, draw)
        elif way < 0.85:
            raw = _changed_value(raw, draw)
        else:
            raw = changed(raw, draw)
    return raw


def _changed_value(raw: bytes, draw: random.Random) -> bytes:
    """Put another value where a name, a colon or a comma is followed by one."""
    places = [i for i, byte in enumerate(raw) if byte in b":[,"]
    if not places:
        return raw
    start = draw.choice(places) + 1
    ends = [raw.find(mark, start) for mark in (b",", b"}", b"]", b"\n")]
    end = min((place for place in ends if place > 0), default=len(raw))
    return raw[:start] + b" " + draw.choice(_VALUES) + raw[end:]


def _changed_number(raw: bytes, draw: random.Random) -> bytes:
    """Another number of the same kind, which its readers may well accept."""
    numbers = list(re.finditer(rb"(?<![\w.\"])-?\d+(\.\d+)?(?![\w.\"])", raw))
    if not numbers:
        return raw
    found = draw.choice(numbers)
    value = float(found[0]) if found[1] else int(found[0][:300])
    new = str(value * draw.choice((0, 1, 1, 1, 2, 3, 100)) + draw.choice((-1, 0, 1, 7)))
    return raw[: found.start()] + new.encode() + raw[found.end() :]


def changed_archive(raw: bytes, draw: random.Random) -> bytes:
    """A ZIP file with a member changed inside, whose checksum is right again."""
    if draw.random() < 0.2:
        return changed(raw, draw)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name, other = draw.choice(sorted(members)), draw.choice(sorted(members))
    way = draw.random()
    if way < 0.1:
        del members[name]
    elif way < 0.2:
        members[name] = members[other]
    elif way < 0.3:
        members[draw.choice((f"{name}x", f"x/{name}", f"../{name}", "a.npy"))] = members[name]
    elif way < 0.6:
        # The header of an array: its dtype and shape.
        members[name] = changed_text(members[name][:128], draw) + members[name][128:]
    else:
        members[name] = changed(members[name], draw)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


_PNG = b"\x89PNG\r\n\x1a\n"


def changed_image(raw: bytes, draw: random.Random) -> bytes:
    """A changed file; a PNG's checksums are mostly right again, so that its content is read."""
    if not raw.startswith(_PNG) or draw.random() < 0.2:
        return changed(raw, draw)
    chunks, place = [], len(_PNG)
    while place < len(raw):
        length = int.from_bytes(raw[place : place + 4])
        chunks.append((raw[place + 4 : place + 8], raw[place + 8 : place + 8 + length]))
        place += length + 12
    number = draw.randrange(len(chunks))
    kind, content = chunks[number]
    chunks[number] = (kind, changed(content, draw))
    return _PNG + b"".join(
        len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
        for kind, content in chunks
    )
