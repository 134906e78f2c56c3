"""Damage a file as discs, copies and people do: the same damage again for the same seed.

One way of damage after the other is applied to the content of a good file: single bits, bytes, lost or repeated parts,
blocks of zeros, exchanged blocks, and numbers no program expects, as binary fields and as text.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator

HEADER = 512  # bytes; half of all damage is done there, because most of a file is data, in which little can go wrong
_INTEGERS = (0, -1, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63)
_FLOATS = (float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1e-320, 1e308)
_TEXTS = (
    "0", "-1", "2147483648", "9223372036854775808", "1" + "0" * 30, "1e400", "1e-320", "NaN", "nan", "inf", "-inf",
    "Infinity", "null", "true", '""', "[]", "{}", "", "0x10", "1_000", "１２", "..", "/dev/zero", "\x00",
)  # fmt: skip
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_./-]*")

Damage = Callable[[bytearray, random.Random], str]


def mutations(content: bytes, number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged versions of a file's content, none of them equal to it.

    Parameters
    ----------
    content : bytes
        Of a good file.
    number : int
        How many versions.
    seed : int
        Another seed gives other versions, the same seed the same.

    Yields
    ------
    what : str
        What was done, for messages.
    damaged : bytes
    """
    rng = random.Random(seed)
    made = 0
    while made < number:
        damage = WAYS[made % len(WAYS)]
        damaged = bytearray(content)
        what = damage(damaged, rng)
        if damaged == content:  # zeros over zeros, or a file too short for this way
            damaged = bytearray(content)
            what = _bit(damaged, rng) if content else _insert(damaged, rng)
        made += 1
        yield f"{made} of seed {seed}: {what}", bytes(damaged)


def _place(content: bytearray, rng: random.Random, size: int = 1) -> int:
    """Return where to do damage of some bytes, as often in the header as anywhere."""
    last = max(0, len(content) - size)
    return rng.randint(0, min(last, HEADER) if rng.random() < 0.5 else last)


def _bit(content: bytearray, rng: random.Random) -> str:
    if not content:
        return "nothing"
    at, bit = _place(content, rng), rng.randrange(8)
    content[at] ^= 1 << bit
    return f"bit {bit} of byte {at} flipped"


def _bytes(content: bytearray, rng: random.Random) -> str:
    size = min(rng.choice((1, 2, 4, 16, 64)), len(content))
    at = _place(content, rng, size)
    content[at : at + size] = rng.randbytes(size)
    return f"{size} bytes overwritten at {at}"


def _truncate(content: bytearray, rng: random.Random) -> str:
    at = _place(content, rng)
    del content[at:]
    return f"cut off at {at}"


def _insert(content: bytearray, rng: random.Random) -> str:
    size, at = rng.choice((1, 2, 7, 64, 1000)), _place(content, rng)
    content[at:at] = rng.randbytes(size)
    return f"{size} bytes inserted at {at}"


def _delete(content: bytearray, rng: random.Random) -> str:
    size = rng.choice((1, 2, 7, 64))
    at = _place(content, rng, size)
    del content[at : at + size]
    return f"{size} bytes lost at {at}"


def _zeros(content: bytearray, rng: random.Random) -> str:
    size = min(rng.choice((4, 16, 64, 512)), len(content))
    at = _place(content, rng, size)
    content[at : at + size] = bytes(size)
    return f"{size} bytes zeroed at {at}"


def _swap(content: bytearray, rng: random.Random) -> str:
    size = min(rng.choice((2, 8, 64, 512)), len(content) // 2)
    first, second = sorted((_place(content, rng, size), _place(content, rng, size)))
    second = min(max(second, first + size), len(content) - size)
    if second < first + size:
        return "nothing"
    content[first : first + size], content[second : second + size] = (
        content[second : second + size],
        content[first : first + size],
    )
    return f"{size} bytes at {first} and {second} exchanged"


def _extend(content: bytearray, rng: random.Random) -> str:
    size = rng.choice((1, 16, 512))
    content += bytes(size) if rng.random() < 0.3 else rng.randbytes(size) if rng.random() < 0.6 else content[:size]
    return f"{size} bytes appended"


def _field(content: bytearray, rng: random.Random) -> str:
    order = rng.choice("<>")
    if rng.random() < 0.3:
        value: float = rng.choice(_FLOATS)
        packed = struct.pack(order + rng.choice("fd"), value if abs(value) < 1e300 or value != value else float("inf"))
    else:
        size = rng.choice((1, 2, 4, 8))
        value = rng.choice(_INTEGERS)
        packed = (value % 2 ** (8 * size)).to_bytes(size, "little" if order == "<" else "big")
    at = _place(content, rng, len(packed))
    if rng.random() < 0.7:
        at -= at % len(packed)  # where most formats have their fields
    content[at : at + len(packed)] = packed
    return f"{value} as {len(packed)} bytes ({order}) at {at}"


def _text(content: bytearray, rng: random.Random, pattern: re.Pattern[bytes] = _NUMBER) -> str:
    found = [match.span() for match in pattern.finditer(bytes(content))]
    if not found:
        return "nothing"
    start, stop = rng.choice(found)
    value = rng.choice(_TEXTS)
    was = bytes(content[start:stop])
    content[start:stop] = value.encode()
    return f"{was[:40]!r} at {start} became {value[:40]!r}"


def _word(content: bytearray, rng: random.Random) -> str:
    return _text(content, rng, _WORD)


WAYS: tuple[Damage, ...] = (
    _bit, _field, _bytes, _text, _truncate, _field, _insert, _zeros, _text, _swap, _bit, _word, _delete, _extend,
)  # fmt: skip
