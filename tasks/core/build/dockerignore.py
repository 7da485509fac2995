"""Which files of a build context Docker leaves out.

The engine's ``/build`` call takes a context as it is: applying ``.dockerignore`` is the caller's part. Docker's
own SDK can only do it for a folder on disk, by walking it, without regard to case, and reads some patterns in
ways of its own. This follows github.com/moby/patternmatcher, which the docker command uses.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator

from tasks.core.errors import InvalidInput

PIECE = re.compile(
    r"(?P<rest> \*\*/?\Z) | (?P<deep> \*\*/?) | (?P<star> \*) | (?P<one> \?)"
    r"| (?P<set> \[ (\\.|[^\]\\])+ \]) | (?P<plain> \\?.)",
    re.VERBOSE | re.DOTALL,
)
"""The parts of a pattern, by the names that :func:`_translate` has for them."""

MEANING = {"rest": ".*", "deep": "(.*/)?", "star": "[^/]*", "one": "[^/]"}

ENDING = re.compile(r"\*\*([^/*?\[\]\\][^*?\[\]\\]*)")
"""``**.log``: the one pattern whose ``**`` reaches into a name."""


class Ignore:
    """The rules of one ``.dockerignore``.

    Args:
        text: the file's content.
        always: paths that are kept whatever the rules say: the Dockerfile.

    Raises:
        InvalidInput: a pattern is not well-formed; Docker refuses it, too.
    """

    def __init__(self, text: str, always: Iterable[str] = ()) -> None:
        self._rules = list(_rules(text))
        self._always = frozenset(always)

    def keeps(self, path: str) -> bool:
        """Whether a file belongs to the context; ``path`` is relative to the context, with slashes."""
        if path in self._always:
            return True
        parts = path.split("/")
        names = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        ignored = False
        for exception, rule in self._rules:
            # A rule matters only where it would change the answer; it speaks of a file or of a folder above it.
            if exception == ignored and any(map(rule.fullmatch, names)):
                ignored = not ignored
        return not ignored


def _rules(text: str) -> Iterator[tuple[bool, re.Pattern[str]]]:
    for line in text.removeprefix("\ufeff").split("\n"):
        pattern = "" if line.startswith("#") else line.strip()
        path = pattern.removeprefix("!").strip()
        cleaned = posixpath.normpath(re.sub("^/+", "/", path)).removeprefix("/")
        if cleaned in ("", "."):
            continue
        try:
            yield pattern.startswith("!"), re.compile(_translate(cleaned), re.DOTALL)
        except re.error as error:
            raise InvalidInput(f"{pattern!r} is no pattern: {error}.", "Mend the .dockerignore.") from None


def _translate(pattern: str) -> str:
    ending = ENDING.fullmatch(pattern)
    return ".*" + re.escape(ending[1]) if ending else PIECE.sub(_piece, pattern)


def _piece(found: re.Match[str]) -> str:
    kind, text = str(found.lastgroup), found[0]
    if kind == "set":
        return "[" + re.sub(r"[\[&|~]", r"\\\g<0>", text[1:])  # which Python may come to read as its own
    if kind == "plain":
        return text if text == "[" else re.escape(text[-1])  # a set that does not end is an error
    return MEANING[kind]
