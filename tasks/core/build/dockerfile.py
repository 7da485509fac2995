"""A Dockerfile by its grammar: instructions with their lines, stages, and what it wants from whoever builds.

By hand, after the rules of BuildKit's own parser (``frontend/dockerfile/parser``): the package that wraps it,
``dockerfile``, has no wheel for ARM or macOS, and dockerfile-parse takes a here-document for instructions.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")
STANDARD = re.compile(r"([\w.:-]+/)*docker/dockerfile(-upstream)?(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")
"""Docker's own frontend, or a mirror of it."""

WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"?|'[^']*'?|\\.|[^\s"'\\]|\\$)+""", re.DOTALL)
HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
FLAG = re.compile(r"--([a-zA-Z][\w-]*)(?:=(.*))?", re.DOTALL)
STEP = re.compile(r"\[(?:\w+/\w\S* )?(?:(?P<stage>\S+) )?(?P<number>\d+)/(?P<all>\d+)\] ")
"""How BuildKit calls what it does for an instruction: ``[base 2/5] RUN make``."""

MAKES_LAYER = ("RUN", "COPY", "ADD", "WORKDIR")
PRIVATE_MOUNTS = ("secret", "ssh")
SSH_AGENT = "default"
OVER_SSH = re.compile(r"(ssh://|[\w.-]+@[\w.-]+:)")


@dataclass(frozen=True)
class Instruction:
    """One instruction, without its flags.

    Args:
        keyword: its name, in capitals.
        flags: names and values, in their order.
        words: what follows them, quotes removed; the text of a here-document is no part of it.
        line: number of its first line.
    """

    keyword: str
    flags: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    line: int

    def flag(self, name: str) -> str:
        """Return the value of a flag; empty without it."""
        return next((value for key, value in self.flags if key == name), "")


@dataclass
class Stage:
    """A stage: what it is called, what it begins with, and its instructions after ``FROM``."""

    name: str
    base: str
    line: int
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def layers(self) -> list[Instruction]:
        """The instructions that BuildKit counts as steps."""
        return [each for each in self.instructions if each.keyword in MAKES_LAYER]

    @property
    def uses(self) -> Iterator[str]:
        """What it takes files from: stages, by name or number, and images."""
        yield self.base
        for each in self.instructions:
            if each.keyword in ("COPY", "ADD"):
                yield each.flag("from")
            for mount in mounts(each):
                yield mount.get("from", "")


class Private(NamedTuple):
    """What an instruction wants from whoever builds.

    Args:
        line: the instruction's.
        asks_for: what it says.
        kind: ``secret`` or ``ssh``; something with ``$`` if a build argument decides it.
        id: which secret, or which agent.
    """

    line: int
    asks_for: str
    kind: str
    id: str

    @property
    def setting(self) -> str:
        """Name the setting that gives it to a build."""
        return "BUILD_SSH" if self.kind == "ssh" else "BUILD_SECRETS"


class Dockerfile:
    """A Dockerfile; text that isn't one has no stages, and BuildKit says why.

    Args:
        text: its content.
        arguments: values of build arguments, as far as they are known.

    Attributes:
        frontend: the image that reads it instead of BuildKit's own parser, by another grammar perhaps.
    """

    def __init__(self, text: str, arguments: Mapping[str, str] | None = None) -> None:
        given = arguments or {}
        lines = text.removeprefix("\ufeff").split("\n")
        self.frontend = given.get("BUILDKIT_SYNTAX") or _frontend(lines)
        self.instructions = list(_instructions(lines))
        self.stages = list[Stage]()
        values = dict[str, str]()
        for each in self.instructions:
            if each.keyword == "FROM" and each.words:
                name = each.words[2].lower() if len(each.words) > 2 and each.words[1].upper() == "AS" else ""
                self.stages.append(Stage(name, _expanded(each.words[0], values), each.line))
            elif self.stages:
                self.stages[-1].instructions.append(each)
            elif each.keyword == "ARG":
                for argument, _, value in (word.partition("=") for word in each.words):
                    values[argument] = given.get(argument, _expanded(value, values))

    @property
    def standard(self) -> bool:
        """Whether it is read by the rules that are known here: those of BuildKit, or of Docker's own frontend."""
        return not self.frontend or STANDARD.fullmatch(self.frontend) is not None

    def private(self) -> Iterator[Private]:
        """Yield what the instructions want from whoever builds: secrets and SSH agents."""
        for each in self.instructions:
            for mount in mounts(each):
                kind = mount.get("type", "bind").lower()
                if kind in PRIVATE_MOUNTS or "$" in kind:
                    yield Private(each.line, f"RUN --mount=type={kind}", kind, _private_id(kind, mount))
            if "ADD" in (each.keyword, *(word.upper() for word in each.words[:1])):
                for source in filter(OVER_SSH.match, each.words):
                    yield Private(each.line, f"ADD {source}", "ssh", SSH_AGENT)

    def has(self, target: str) -> bool:
        """Whether there is a stage of this name or number."""
        return self._index(target) is not None

    def steps(self, target: str = "") -> int:
        """How many steps the build of a stage has, its own and those of the stages it uses; 0 if it isn't known."""
        wanted = [self._index(target)] if target else [len(self.stages) - 1] * bool(self.stages)
        reached = set[int]()
        while wanted:
            if (index := wanted.pop()) is not None and index not in reached:
                reached.add(index)
                wanted += [found for use in self.stages[index].uses if (found := self._index(use, index)) is not None]
        return sum(len(self._lines(index)) for index in reached)

    def line_of(self, step: str) -> int:
        """Return the line of the instruction that BuildKit calls so; 0 if it is none."""
        if not (found := STEP.match(step)):
            return 0
        name, number = found["stage"] or "", int(found["number"])
        for index, stage in enumerate(self.stages):
            lines = self._lines(index)
            if name in (stage.name or f"stage-{index}", "") and len(lines) == int(found["all"]):
                return lines[number - 1]
        return 0

    def _lines(self, index: int) -> list[int]:
        """Return the lines of a stage's steps. An image to begin with is one; nothing, or another stage, is none."""
        stage = self.stages[index]
        known = stage.base == "scratch" or self._index(stage.base, index) is not None
        return [stage.line] * (not known) + [each.line for each in stage.layers]

    def _index(self, name: str, before: int | None = None) -> int | None:
        known = self.stages[:before]
        numbered = int(name) if name.isdecimal() and len(name) < 5 else len(known)
        named = [index for index, stage in enumerate(known) if name and stage.name == name.lower()]
        return named[-1] if named else numbered if numbered < len(known) else None


def _expanded(word: str, values: Mapping[str, str]) -> str:
    """Return a word with its variables replaced; those that aren't known stay."""

    def value(found: re.Match[str]) -> str:
        name, how, other = found[1] or found[2], found[3] or "", found[4] or ""
        known = values.get(name)
        there = bool(known) if ":" in how else known is not None
        if how.endswith("+"):
            return other if there else ""
        return str(known) if there else other if how else found[0]

    return VARIABLE.sub(value, word)


def mounts(instruction: Instruction) -> list[dict[str, str]]:
    """Return the ``--mount`` flags of a ``RUN``, each as its fields."""
    given = [value for name, value in instruction.flags if name == "mount"]
    pairs = [[part.strip().strip('"').partition("=") for part in value.split(",")] for value in given]
    return [{key.lower(): value for key, _, value in fields} for fields in pairs]


def _private_id(kind: str, mount: Mapping[str, str]) -> str:
    """Return which secret or agent a mount wants, as BuildKit's dispatchSecret and dispatchSSH find it."""
    if kind == "ssh":
        return mount.get("id") or SSH_AGENT
    target = mount.get("target") or mount.get("dst") or mount.get("destination") or ""
    return mount.get("source") or mount.get("src") or mount.get("id") or target.rpartition("/")[2]


def _instructions(lines: list[str]) -> Iterator[Instruction]:
    escape, at = _escape(lines), 0
    continues = re.compile(rf"(?<!{escape}){escape}[ \t]*$")
    while at < len(lines):
        first, text, more = at + 1, "", True
        while more and at < len(lines):
            line, at = lines[at].rstrip("\r"), at + 1
            bare = line.lstrip()
            if not bare or bare.startswith("#"):
                more = bool(text)  # within an instruction they count for nothing
                continue
            text += continues.sub("", line)
            more = bool(continues.search(line))
        if text.strip():
            instruction, heredocs = _parsed(text.strip(), first)
            for chomp, name in heredocs:
                at = _after_heredoc(lines, at, chomp, name)
            yield instruction


def _frontend(lines: list[str]) -> str:
    """Return what ``syntax`` says, in any of the ways that BuildKit knows: after ``#``, after ``//``, or as JSON."""
    for mark in ("#", "//"):
        for line in lines[1:] if lines[0].startswith("#!") else lines:
            found = (
                DIRECTIVE.fullmatch("#" + line.strip().removeprefix(mark)) if line.strip().startswith(mark) else None
            )
            if not found:
                break
            if found[1].lower() == "syntax":
                return found[2].split()[0]
    with suppress(ValueError, AttributeError):
        return str(json.loads("\n".join(lines)).get("syntax", ""))
    return ""


def _escape(lines: list[str]) -> str:
    for line in lines:
        found = DIRECTIVE.fullmatch(line.strip())
        if not found:
            break
        if found[1].lower() == "escape":
            return "`" if found[2] == "`" else r"\\"
    return r"\\"


def _parsed(text: str, line: int) -> tuple[Instruction, list[tuple[bool, str]]]:
    keyword, rest = _first(text)
    inner, rest = _first(rest) if keyword.upper() == "ONBUILD" else ("", rest)
    flags = []
    while (word := WORD.match(rest)) and (flag := FLAG.fullmatch(_unquoted(word[0]))):
        flags.append((flag[1].lower(), flag[2] or ""))
        rest = rest[word.end() :].lstrip()
    raw = WORD.findall(rest)
    words = ([inner] if inner else []) + [_unquoted(word) for word in raw]
    heredocs = []
    if (inner or keyword).upper() in ("RUN", "COPY", "ADD") and not rest.startswith("["):
        found = filter(None, map(HEREDOC.fullmatch, raw))
        heredocs = [(bool(each[1]), _unquoted(each[2])) for each in found]
    return Instruction(keyword.upper(), tuple(flags), tuple(words), line), heredocs


def _first(text: str) -> tuple[str, str]:
    word, *rest = text.split(None, 1)[:2] or ("",)
    return word, "".join(rest)


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)|[\"']", lambda found: found[1] or "", word)


def _after_heredoc(lines: list[str], at: int, chomp: bool, name: str) -> int:
    while at < len(lines):
        line, at = lines[at].rstrip("\r"), at + 1
        if (line.lstrip("\t") if chomp else line) == name:
            break
    return at
