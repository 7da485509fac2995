"""The few fields of BuildKit's messages, read and written by hand.

They are not packaged for Python, and need no schema: numbers, and bytes for everything that has a length.
"""

from collections.abc import Iterator
from typing import Any


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a message, each with its number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield number, message[at : at + size]
        at += size


def field(number: int, value: bytes) -> bytes:
    """One field with a length, as a message has it."""
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def number(at: int, value: int) -> bytes:
    """One field with a number, as a message has it."""
    return _encoded(at << 3) + _encoded(value)


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
