"""Which changed files matter, by the patterns of GitHub Actions' ``paths`` filter.

The rules are those of "Filter pattern cheat sheet" in GitHub's workflow syntax: a pattern stands for a whole path
from the repository's root; ``*`` is any text without a slash, ``**`` any text, ``?`` none or one and ``+`` one or more
of the character before; ``[a-z]`` one character; a backslash takes a character as it is; the last pattern that a path
matches decides, and one that begins with ``!`` decides against it. Git's ignore rules, which libraries offer,
are others: there ``Dockerfile`` is meant in every folder, and ``?`` is any character.
"""

import re
from collections.abc import Iterable, Iterator

from tasks.core.errors import InvalidInput

PIECE = re.compile(
    r"(?P<folders> \*\*/) | (?P<all> \*\*) | (?P<star> \*)"
    r"| (?P<one> (\[[A-Za-z0-9-]+\] | \\. | [^\\\[\]*?+])) (?P<times> [?+]?)",
    re.VERBOSE | re.DOTALL,
)
"""The parts of a pattern; what is none of them is refused: nothing a number stands after, a set that does not end."""

WILD = {"folders": "(.+/)?", "all": ".*", "star": "[^/]*"}


class PathFilter:
    """A filter of paths.

    Args:
        text: the patterns, separated by commas or line ends.

    Raises:
        InvalidInput: a pattern is not well-formed, or none says what is wanted.
    """

    def __init__(self, text: str) -> None:
        patterns = [pattern.strip() for pattern in re.split(r"[,\n]", text) if pattern.strip()]
        self._rules = [(not each.startswith("!"), _compiled(each.removeprefix("!"))) for each in patterns]
        if not any(wanted for wanted, _ in self._rules):
            raise InvalidInput("SOURCE_PATHS names no path that matters.", "Use `**` for every path.")

    def matching(self, paths: Iterable[str]) -> Iterator[str]:
        """Those of the paths that matter, in their order."""
        return (path for path in paths if self._matches(path))

    def _matches(self, path: str) -> bool:
        return next((wanted for wanted, rule in reversed(self._rules) if rule.fullmatch(path)), False)


def _compiled(pattern: str) -> re.Pattern[str]:
    pieces, end = [], 0
    while found := PIECE.match(pattern, end):
        pieces.append(_translated(found))
        end = found.end()
    try:
        if end == len(pattern) > 0:
            return re.compile("".join(pieces), re.DOTALL)
    except re.error:  # a range from z to a
        pass
    raise InvalidInput(
        f"SOURCE_PATHS: {pattern!r:.80} is not a pattern, from character {end + 1} on.",
        "The patterns are those of GitHub Actions' paths filter, separated by commas; quote a character with \\.",
    )


def _translated(piece: re.Match[str]) -> str:
    kind, one = str(piece.lastgroup), piece["one"]
    if one is None:
        return WILD[kind]
    return (one if one.startswith("[") else re.escape(one[-1])) + piece["times"]
