"""Which files of a build context Docker leaves out, by the patterns of a ``.dockerignore`` (read by ``context.py``).

The engine's ``/build`` call takes a context as it is: applying ``.dockerignore`` is the caller's part. Docker's
own SDK can only do it for a folder on disk, by walking it, without regard to case, and reads some patterns in
ways of its own. This follows github.com/moby/patternmatcher, which the docker command uses.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from operator import eq
from typing import NamedTuple

from tasks.core.errors import InvalidInput

PIECE = re.compile(
    r"(?P<rest> (\*\*/?)+\Z) | (?P<deep> (\*\*/?)+) | (?P<star> \*) | (?P<one> \?)"
    r"| (?P<set> \[ (\\.|[^\]\\])+ \]) | (?P<plain> \\?.)",
    re.VERBOSE | re.DOTALL,
)
"""The parts of a pattern, by the names that :data:`STATES` has for them."""

ENDING = re.compile(r"\*\*([^/*?\[\]\\][^*?\[\]\\]*)")
"""``**.log``: the one pattern whose ``**`` reaches into a name."""

UNLIKELY = "\x01"
"""A name that no pattern has."""

NOTHING, NO_SLASH = r"(?!)", "[^/]"


class State(NamedTuple):
    """A state of the automaton.

    ``onward`` is a regular expression for the one character that leads to the next state. Of the marks, ``free`` leads
    there without any character and ``skip`` to the one after it; ``any`` stays at any character and ``name`` at any but
    a slash; a pattern that has come to its ``end`` matches, and is perhaps an ``exception``.
    """

    onward: str = NOTHING
    marks: tuple[str, ...] = ()


STATES = {
    "rest": (State(marks=("free", "any")),),
    "deep": (State(marks=("free", "skip")), State("/", ("any",))),
    "star": (State(marks=("free", "name")),),
}
"""What stands for more or fewer characters than one."""


class Ignore:
    """The rules of one ``.dockerignore``.

    All patterns are one automaton, and the states it may be in are the bits of a number: the time that a path takes
    depends on its length and on the number of states alone, as with Go's regular expressions. Python's would try every
    way there is to match.

    Args:
        text: the file's content.

    Raises:
        InvalidInput: a pattern is not well-formed; Docker rejects it, too.
    """

    def __init__(self, text: str) -> None:
        self._states = list(_automaton(text))
        self._free, self._skip, self._any, self._name, self._end, self._exceptions = (
            _bits(mark in state.marks for state in self._states)
            for mark in ("free", "skip", "any", "name", "end", "exception")
        )
        self._of_exceptions = _bits(_belong_to_exceptions(self._states))
        self._kinds = {each: re.compile(each, re.DOTALL) for each in {state.onward for state in self._states}}
        self._moves = dict[str, tuple[int, int]]()
        self._folders = list[str]()  # of the path before: the next one is in the same, mostly
        self._reached = [(self._closed(self._end << 1 | 1), 0)]  # the state after each, and the rules that match it

    def may_keep(self, folder: str) -> bool:
        """Whether any file below a folder may belong to the context."""
        if self.keeps(f"{folder}/{UNLIKELY}"):
            return True
        below = self._reached[-1][0]  # where the patterns are behind the folder's slash
        return bool(below & self._of_exceptions)

    def keeps(self, path: str) -> bool:
        """Whether a file belongs to the context; ``path`` is relative to the context, with slashes."""
        *folders, name = path.split("/")
        known = sum(takewhile(bool, map(eq, self._folders, folders)))
        del self._reached[known + 1 :]
        for folder in folders[known:]:
            reached, rules = self._reached[-1]
            reached = self._after(reached, folder)
            self._reached.append((self._after(reached, "/"), rules | reached & self._end))
        self._folders = folders
        reached, rules = self._reached[-1]
        rules |= self._after(reached, name) & self._end
        # Of the rules that match the file or a folder above it, the last one decides.
        return not rules or bool(self._exceptions >> rules.bit_length() - 1 & 1)

    def _after(self, reached: int, text: str) -> int:
        for char in text:
            if not reached:
                break
            onward, staying = self._moves.get(char) or self._learn(char)
            reached = self._closed((reached & onward) << 1 | reached & staying)
        return reached

    def _closed(self, reached: int) -> int:
        while (more := reached | (reached & self._free) << 1 | (reached & self._skip) << 2) != reached:
            reached = more
        return reached

    def _learn(self, char: str) -> tuple[int, int]:
        matching = {each for each, kind in self._kinds.items() if kind.fullmatch(char)}
        onward = _bits(state.onward in matching for state in self._states)
        self._moves[char] = onward, self._any | (0 if char == "/" else self._name)
        return self._moves[char]


def _belong_to_exceptions(states: Sequence[State]) -> list[bool]:
    found, exception = list[bool](), False
    for state in reversed(states):
        exception = "exception" in state.marks if "end" in state.marks else exception
        found.append(exception)
    return found[::-1]


def _bits(flags: Iterable[bool]) -> int:
    return int("0" + "".join("01"[flag] for flag in flags)[::-1], 2)


def _automaton(text: str) -> Iterator[State]:
    for exception, pattern in _rules(text):
        yield from _states(pattern)
        yield State(marks=("end", "exception") if exception else ("end",))


def _rules(text: str) -> Iterator[tuple[bool, str]]:
    for line in text.removeprefix("\ufeff").split("\n"):
        pattern = "" if line.startswith("#") else line.strip()
        path = pattern.removeprefix("!").strip()
        cleaned = posixpath.normpath(re.sub("^/+", "/", path)).removeprefix("/")
        if cleaned not in ("", "."):
            yield pattern.startswith("!"), cleaned


def _states(pattern: str) -> Iterator[State]:
    ending = ENDING.fullmatch(pattern)
    if ending:
        yield from STATES["rest"]
    for found in PIECE.finditer(ending[1] if ending else pattern):
        kind, text = str(found.lastgroup), found[0]
        if text == "[":
            raise _malformed(pattern, "a set has no end")
        if kind in STATES:
            yield from STATES[kind]
        elif kind == "set":
            yield State(_set(pattern, text))
        else:
            yield State(NO_SLASH if kind == "one" else re.escape(text[-1]))


def _set(pattern: str, text: str) -> str:
    source = "[" + re.sub(r"[\[&|~]", r"\\\g<0>", text[1:])  # which Python may come to read as its own
    try:
        re.compile(source)
    except re.error as error:
        raise _malformed(pattern, str(error)) from None
    return source


def _malformed(pattern: str, why: str) -> InvalidInput:
    return InvalidInput(f"{pattern!r:.200} is not a valid .dockerignore pattern: {why}.", "Fix the .dockerignore.")
