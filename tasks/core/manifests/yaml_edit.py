"""Edits of single keys and items in a YAML text, as splices: everything they don't name keeps its bytes.

Comments are never lost: one on a line that goes away stays as a line of its own.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.core.manifests.yaml_tree import BLOCK_HEADER, BLOCK_STYLES, BREAK, STRING_TAGS, Document, Node, is_ambiguous

Pair = tuple[Node, Node]
Field = tuple[str, str]

_PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_./:@+-]*[A-Za-z0-9_./@+-])?")
_COMMENT = re.compile(r"(?<=\s)#[^\r\n]*")
_REST_OF_LINE = re.compile(r"[ \t]*(?:(?<=[ \t])#[^\r\n]*)?(?=[\r\n]|\Z)")
_GAP = re.compile(r"(?:\s|(?<=\s)#[^\r\n]*)*")
_COMMA = re.compile(r"[ \t]*,")


@dataclass(frozen=True)
class Splice:
    """Put ``text`` in the place of what stands between ``start`` and ``end``."""

    start: int
    end: int
    text: str = ""


@dataclass(frozen=True)
class Style:
    """The quotes around keys and around values: ``'``, ``"`` or none."""

    key: str | None = None
    value: str | None = None

    @classmethod
    def of(cls, pair: Pair) -> "Style":
        """Return the style a pair is written in."""
        return cls(*(node.style for node in pair))


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """Return the text with the splices applied; those at one place keep their order."""
    parts, position = [], 0
    for splice in sorted(splices, key=lambda each: each.start):
        parts += [text[position : splice.start], splice.text]
        position = max(position, splice.end)
    return "".join([*parts, text[position:]])


def quoted(value: str, style: str | None = None) -> str:
    """Write a string as a scalar: in the given quotes, else plain where no YAML reader can mistake it."""
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and _PLAIN.fullmatch(value) and not is_ambiguous(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def pairs_text(fields: Iterable[Field], style: Style) -> list[str]:
    """Each field as ``key: value``."""
    return [f"{quoted(key, style.key)}: {quoted(value, style.value)}" for key, value in fields]


def flow_mapping(fields: Iterable[Field], style: Style) -> str:
    """Return the fields as ``{key: value, ...}``."""
    return "{" + ", ".join(pairs_text(fields, style)) + "}"


def block_item(fields: Iterable[Field], style: Style, column: int, offset: int) -> list[str]:
    """Return the fields as an item of a block list: the dash at ``column``, the keys ``offset`` behind it."""
    lines = [" " * (column + offset) + line for line in pairs_text(fields, style)]
    return [" " * column + "-" + lines[0][column + 1 :], *lines[1:]]


def replace_value(document: Document, node: Node, value: str) -> list[Splice]:
    """Set a scalar, keeping its quotes, its anchor, and the comments around it."""
    text, last = document.text, _last(document.text, node)
    # Any other tag, such as !!int, would make something else of the new value.
    start = node.content if node.tag is None or node.tag in STRING_TAGS else node.start
    new = quoted(value, node.style)
    if header := BLOCK_HEADER.match(text, node.content) if node.style in BLOCK_STYLES else None:
        line_end = _line_end(text, header.end())
        return [Splice(start, header.end(), new), Splice(line_end, max(line_end, last))]
    squeezed = start == node.end and not text[start - 1 : start].isspace()
    return [Splice(start, node.end, " " * squeezed + new)]


def rename_key(key: Node, name: str) -> Splice:
    """Write another key, in the same quotes."""
    return Splice(key.start, key.end, quoted(name, key.style))


def insert_pairs(document: Document, mapping: Node, after: Pair, fields: Sequence[Field]) -> list[Splice]:
    """Put fields behind a pair of a mapping, in that pair's style."""
    pairs = pairs_text(fields, Style.of(after))
    if mapping.flow:
        return insert_flow(document, after[0].start, after[1].end, ", ".join(pairs))
    return [insert_lines(document, after[1].end, [" " * mapping.column + pair for pair in pairs])]


def insert_lines(document: Document, position: int, lines: Iterable[str]) -> Splice:
    """Put lines below the line of a position; at the end of a file, the last line stays without a break if it was."""
    text = document.text
    if text.endswith(("\r", "\n"), 0, position):  # behind a block scalar that owns its blank lines
        line_break = "\r\n" if text.endswith("\r\n", 0, position) else text[position - 1]
        return Splice(position, position, "".join(line + line_break for line in lines))
    found = BREAK.search(text, position) or BREAK.search(text)
    line_break, end = found[0] if found else "\n", _line_end(text, position)
    return Splice(end, end, "".join(line_break + line for line in lines))


def insert_flow(document: Document, start: int, end: int, new: str) -> list[Splice]:
    """Put something behind the item ``text[start:end]`` of a flow collection.

    On a line of its own where the item has one; its comment then stays beside it.
    """
    text = document.text
    comma = _COMMA.match(text, end)
    rest = _REST_OF_LINE.match(text, comma.end() if comma else end)
    indent = text[_line_start(text, start) : start]
    if rest is None or indent.strip(" \t"):
        return [Splice(end, end, f", {new}")]
    line = insert_lines(document, rest.end(), [indent + new + ("," if comma else "")])
    return [line] if comma else [Splice(end, end, ","), line]


def remove_pair(document: Document, mapping: Node, pair: Pair) -> list[Splice]:
    """Take a pair out of a mapping that has others; of a block mapping, not the first on the line of a dash."""
    return _remove_from_flow(document, mapping, pair) if mapping.flow else [_remove_lines(document, pair)]


def end_of_comments(document: Document, position: int, column: int) -> int:
    """Return the end of the comment lines below a position that are indented to ``column`` at least."""
    text, end = document.text, _line_end(document.text, position)
    cursor = _next_line(text, position)
    while cursor < document.end:
        line = text[cursor : _line_end(text, cursor)]
        body = line.lstrip(" ")
        if body.startswith("#") and len(line) - len(body) >= column:
            end = cursor + len(line)
        elif body.strip():
            break
        cursor = _next_line(text, cursor)
    return end


def _remove_lines(document: Document, pair: Pair) -> Splice:
    text, (key, value) = document.text, pair
    start, last = _line_start(text, key.start), _last(text, value)
    end, stop = _line_end(text, last), _next_line(text, last)
    if comments := _comments(text, pair):
        found = BREAK.search(text, key.start)
        indent = " " * (key.start - start)
        return Splice(start, end, (found[0] if found else "").join(indent + comment for comment in comments))
    if stop == end:  # no final newline: it stays so
        start = len(text[:start].removesuffix("\n").removesuffix("\r"))
    return Splice(start, stop)


def _comments(text: str, pair: Pair) -> list[str]:
    """Return the comments beside a pair: behind its colon, on the header of its block scalar, behind its value."""
    key, value = pair
    last = _last(text, value)
    begin = min(_line_end(text, value.content), last) if value.style in BLOCK_STYLES else value.content
    return _COMMENT.findall(text, key.end, begin) + _COMMENT.findall(text, last, _line_end(text, last))


def _remove_from_flow(document: Document, mapping: Node, pair: Pair) -> list[Splice]:
    text, (key, value) = document.text, pair
    comma = _end_of_gap(text, value.end)
    if text.startswith(",", comma):
        if text[value.end : comma].strip():  # a comment stands before the comma
            return [Splice(key.start, value.end), Splice(comma, comma + 1)]
        return [_whole_line(text, key.start, comma + 1) or Splice(key.start, _end_of_blanks(text, comma + 1))]
    before = mapping.pairs[mapping.pairs.index(pair) - 1][1]
    comma = _end_of_gap(text, before.end)
    # Blanks before it go, but not those a line begins with.
    start = len(text[: key.start].rstrip(" \t"))
    start = key.start if start == _line_start(text, key.start) else start
    return [Splice(comma, comma + 1), _whole_line(text, key.start, value.end) or Splice(start, value.end)]


def _whole_line(text: str, start: int, end: int) -> Splice | None:
    """Return the lines from ``start`` to ``end``, if nothing else stands on them."""
    first, last = _line_start(text, start), _line_end(text, end)
    others = text[first:start] + text[end:last]
    return None if others.strip(" \t") else Splice(first, _next_line(text, end))


def _last(text: str, node: Node) -> int:
    """Return the end of a node without the blank lines a block scalar may own."""
    return node.start + len(text[node.start : node.end].rstrip(" \t\r\n"))


def _end_of_gap(text: str, position: int) -> int:
    gap = _GAP.match(text, position)
    return gap.end() if gap else position


def _end_of_blanks(text: str, position: int) -> int:
    """Behind the blanks, but not up to a comment: it needs one before it."""
    end = len(text) - len(text[position:].lstrip(" \t"))
    return position if text.startswith("#", end) else end


def _line_start(text: str, position: int) -> int:
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def _line_end(text: str, position: int) -> int:
    found = BREAK.search(text, position)
    return found.start() if found else len(text)


def _next_line(text: str, position: int) -> int:
    found = BREAK.search(text, position)
    return found.end() if found else len(text)
