"""Which files of a build context Docker leaves out.

The engine's ``/build`` call takes a context as it is: applying ``.dockerignore`` is the caller's part. Docker's
own SDK can only do it for a folder on disk, by walking it, and without regard to case; here the files are a
stream. Its reading of a pattern is used, the order of evaluation is moby's
``patternmatcher.MatchesOrParentMatches``.
"""

import re
from collections.abc import Iterable

from docker.utils.build import Pattern
from docker.utils.fnmatch import translate


class Ignore:
    """The rules of one ``.dockerignore``.

    Args:
        text: the file's content.
        always: paths that are kept whatever the rules say: the Dockerfile and the ignore file.
    """

    def __init__(self, text: str, always: Iterable[str] = ()) -> None:
        lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
        patterns = (Pattern(line) for line in lines if line and not line.startswith("#"))
        self._rules = [(each.exclusion, re.compile(translate(each.cleaned_pattern))) for each in patterns if each.dirs]
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
            if exception == ignored and any(map(rule.match, names)):
                ignored = not ignored
        return not ignored
