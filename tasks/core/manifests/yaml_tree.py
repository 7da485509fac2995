"""A YAML text as a tree of nodes that know where they stand in it.

ruamel.yaml finds the positions: its parser's events carry character offsets. No scalar is converted, so that the
differences between YAML 1.1 and 1.2 cannot change anything on the way.
"""

import hashlib
import re
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from tasks.core.errors import InvalidInput

BREAK = re.compile(r"\r\n|\r|\n")
"""One line break, in any of the three writings."""

STRING_TAGS = ("!", "tag:yaml.org,2002:str")
"""The tags that make a string of any scalar."""

BLOCK_STYLES = ("|", ">")
"""Literal and folded block scalars."""

BLOCK_HEADER = re.compile(r"[|>][-+0-9]*")
"""What a block scalar begins with."""

LARGEST = 1 << 18
"""Characters of the largest text that is read: hostile ones of this size take a few seconds."""

DEEPEST = 2000
"""Levels of the deepest text that is read."""

# Anchor, tag, and the comments between them and what they belong to.
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s*(?:(?<=\s)#[^\r\n]*\s*)*)*")
# A tab between two things of a line. Not one after "-" or "?": there it would be indentation, which YAML forbids.
_INNER_TABS = re.compile(r"(?<!\s[-?])(?<=\S)[ \t]*\t[ \t]*")
# Plain scalars that some reader of YAML 1.1 or 1.2 takes for something other than a string.
_NOT_A_STRING = re.compile(
    r"""
    |~|null|y|yes|n|no|true|false|on|off|=|<<
    |[-+]?[0-9][0-9_]*(?::[0-9_.]+)*                                # integers, also octal and base 60
    |[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:e[-+]?[0-9_]+)?    # floats
    |[-+]?0(?:x[0-9a-f_.]+(?:p[-+]?[0-9]+)?|[ob][0-7_]+)
    |[-+]?\.?(?:inf|nan|infinity)
    |[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*                               # timestamps
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(eq=False, slots=True)
class Node:
    """A value and its place: ``text[start:end]``, where ``content`` is the start without anchor and tag.

    ``column`` of a block collection is that of its keys or dashes. ``meaning`` is equal for nodes with equal data,
    aliases followed, whatever their layout.
    """

    kind: str
    start: int
    content: int
    end: int
    line: int
    column: int
    anchor: str | None = None
    tag: str | None = None
    value: str = ""
    style: str | None = None
    flow: bool = False
    children: list["Node"] = field(default_factory=list)
    target: "Node | None" = None
    meaning: str = ""

    @property
    def data(self) -> "Node":
        """The node that holds the data: for an alias, the one it stands for."""
        return self.target or self

    @property
    def pairs(self) -> list[tuple["Node", "Node"]]:
        """Keys and values of a mapping, in order."""
        return list(zip(self.children[::2], self.children[1::2], strict=True))

    @property
    def is_null(self) -> bool:
        """Whether this is an empty value, or one of YAML's words for it."""
        return self.kind == "scalar" and not (self.tag or self.style) and self.value.lower() in ("", "~", "null")

    def reads_as(self, text: str) -> bool:
        """Whether every YAML reader takes this for the given string."""
        if self.kind != "scalar" or self.value != text:
            return False
        return self.tag in STRING_TAGS or (not self.tag and (bool(self.style) or not is_ambiguous(text)))


@dataclass(frozen=True)
class Document:
    """A text that holds one YAML document; ``end`` is where the document ends, before a line ``...`` or ``---``."""

    text: str
    where: str
    root: Node
    end: int

    def refusal(self, problem: str, node: Node | None = None, hint: str = "") -> InvalidInput:
        """Return the error that names the file and, with a node, the line."""
        return _refusal(self.where, problem, node.line if node else None, hint)


def is_ambiguous(plain: str) -> bool:
    """Whether some YAML reader takes this text, without quotes, for something other than a string."""
    return _NOT_A_STRING.fullmatch(plain) is not None


def parse(text: str, where: str) -> Document:
    """Read a text that must hold exactly one YAML document; an empty one may follow, as kustomize has it.

    Args:
        text: the file's content, line breaks as they are.
        where: the file's name, for messages.

    Raises:
        InvalidInput: the text is empty, broken, too large, or more than one document.
    """
    if len(text) > LARGEST:
        raise _refusal(where, f"the file has {len(text):,} characters, {LARGEST:,} is the most", None)
    builder = _Builder(text, where)
    # ruamel.yaml refuses tabs before a comment or after a value, which YAML allows; offsets stay the same.
    untabbed = _INNER_TABS.sub(lambda tabs: " " * len(tabs[0]), text)
    try:
        for event in YAML(typ="safe", pure=True).parse(untabbed):
            builder.feed(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refusal(where, f"not valid YAML: {error.problem}", mark.line + 1 if mark else None) from None
    except (YAMLError, ValueError, OverflowError) as error:
        # The reader's errors (control characters) have a position instead of a mark.
        line = len(BREAK.findall(text, 0, getattr(error, "position", 0))) + 1
        raise _refusal(where, f"not valid YAML: {str(error).splitlines()[0]}", line) from None
    if builder.root is None or builder.root.is_null:
        raise _refusal(where, "the file is empty", None)
    return Document(text, where, builder.root, builder.end)


def _refusal(where: str, problem: str, line: int | None, hint: str = "") -> InvalidInput:
    place = f"{where}, line {line}" if line else where
    return InvalidInput(f"{place}: {problem}.", hint or "Nothing was changed.")


class _Builder:
    """Makes nodes from the parser's events, without recursion: deep nesting must not exhaust the stack."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.root: Node | None = None
        self.end = len(text)
        self.second = 0  # the line where another document begins
        self.open: list[Node] = []
        self.anchors: dict[str, Node] = {}

    def feed(self, event: Event) -> None:
        match event:
            case DocumentStartEvent() if self.root:
                self.second = event.start_mark.line + 1
                self.end = min(self.end, event.start_mark.index)
            case DocumentEndEvent() if event.explicit:
                self.end = min(self.end, event.start_mark.index)
            case CollectionStartEvent():
                if len(self.open) == DEEPEST:
                    raise _refusal(self.where, f"more than {DEEPEST} levels are nested", event.start_mark.line + 1)
                self.open.append(self._collection(event))
            case CollectionEndEvent():
                self._close(self._finished(event))
            case ScalarEvent():
                self._close(self._scalar(event))
            case AliasEvent():
                self._close(self._alias(event))

    def _node(self, kind: str, event: NodeEvent) -> Node:
        start, end = event.start_mark, event.end_mark
        properties = _PROPERTIES.match(self.text, start.index, end.index)
        content = properties.end() if properties else start.index
        return Node(kind, start.index, content, end.index, start.line + 1, start.column, event.anchor)

    def _collection(self, event: CollectionStartEvent) -> Node:
        node = self._node("mapping" if isinstance(event, MappingStartEvent) else "sequence", event)
        node.tag, node.flow = event.tag, bool(event.flow_style)
        if not node.flow:
            # The event ends where the block's first key or dash begins; after the dash if the list isn't indented.
            after_dash = node.kind == "sequence" and not self.text.startswith("-", event.end_mark.index)
            node.column = event.end_mark.column - after_dash
        return node

    def _finished(self, event: CollectionEndEvent) -> Node:
        node = self.open.pop()
        # A block's end event comes with the next token, after all comments in between.
        node.end = event.end_mark.index if node.flow else node.children[-1].end
        return node

    def _scalar(self, event: ScalarEvent) -> Node:
        node = self._node("scalar", event)
        node.value, node.tag, node.style = event.value, event.tag, event.style or None
        if header := BLOCK_HEADER.match(self.text, node.content) if node.style in BLOCK_STYLES else None:
            self._trim_block_scalar(node, header[0])
        elif node.start == node.end:
            node.start = node.content = node.end = self._place_of_nothing(node.start)
        return node

    def _trim_block_scalar(self, node: Node, header: str) -> None:
        if "+" not in header:  # the blank lines after it are not part of it
            node.end = node.start + len(self.text[node.start : node.end].rstrip(" \t\r\n"))

    def _place_of_nothing(self, position: int) -> int:
        # The parser places an empty value at the next token; it belongs right behind its key's colon.
        parent = self.open[-1] if self.open else None
        if parent is None or parent.kind != "mapping" or len(parent.children) % 2 == 0:
            return position
        key_end = parent.children[-1].end
        colon = re.compile(r"\s*:").match(self.text, key_end, position)
        return colon.end() if colon else key_end

    def _alias(self, event: AliasEvent) -> Node:
        node = self._node("alias", event)
        node.target, node.anchor = self.anchors.get(event.anchor), None
        if node.target is None:
            raise _refusal(self.where, f"the alias *{event.anchor} has no anchor before it", node.line)
        return node

    def _close(self, node: Node) -> None:
        node.meaning = node.data.meaning or _meaning(node)
        if node.anchor:
            self.anchors[node.anchor] = node
        if self.open:
            self.open[-1].children.append(node)
        elif not self.second:
            self.root = node
        elif not node.is_null:
            raise _refusal(self.where, "a second YAML document begins here; there must be one", self.second)


def _meaning(node: Node) -> str:
    # Hashed from the leaves up, so that aliases of aliases cost nothing.
    data = (node.kind, node.tag, node.style is None, node.value, [child.meaning for child in node.children])
    return hashlib.sha256(repr(data).encode()).hexdigest()
