"""Text that came from elsewhere, made safe to show: in a terminal, in a chat, and in Markdown."""

import re
import unicodedata
from collections.abc import Iterable

LINE = 200
"""Characters of a line that a person may send: a name, a note."""

LONGEST = 2000
"""Characters of a line of foreign text that are shown."""

UNSEEN = "\N{REPLACEMENT CHARACTER}"
"""What stands for a character that can't be seen."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# Slack's, with or without "<", which Apprise adds again where one was taken away; Discord's, which need none.
_MENTION = re.compile(
    r"(?<=<)[!@#](?=\S)|!(?=(?i:[a-z]+)(?:\^\w+)?[ \t]*[|>])|@(?=(?i:everyone|here)\b|[A-Z0-9]+[ \t]*[|>])"
)
_PLAIN = re.compile(r"[\w./:@+=, #-]*")


def plain(text: str) -> str:
    """Keep what a person reads, and drop what acts on a terminal, a chat or the eye.

    Terminal codes go; control characters, bidirectional overrides and other invisible signs become visible;
    ``<!channel>``, ``@everyone`` and the like lose their meaning.
    """
    text = _ANSI.sub("", re.sub(r"\r\n?", "\n", text))
    if not text.isprintable():
        text = "".join(each if each.isprintable() or each in "\n\t" else _visible(each) for each in text)
    return _MENTION.sub(r"\g<0> ", text)


def one_line(text: str, limit: int = LINE) -> str:
    """Return a text that came from outside as one printable line: it can neither begin another one nor hide itself."""
    return " ".join(plain(text).replace(UNSEEN, " ").split())[:limit]


def literal(text: str) -> str:
    """Return a line of foreign text that shows as it is, without a meaning in Markdown or HTML."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", one_line(text, LONGEST))


def code(text: str) -> str:
    """Return a name or a version that came from outside, in type for code."""
    line = one_line(text, LONGEST)
    return f"`{line}`" if line and _PLAIN.fullmatch(line) else literal(line)


def fenced(text: str, language: str = "diff") -> str:
    """Lines of foreign text as a block of code that none of them ends."""
    shown = plain(text).rstrip()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}\n"


def listed(items: Iterable[str], most: int = 5) -> str:
    """Return a few things in a row, and how many more there are."""
    each = list(dict.fromkeys(items))
    more = f" and {len(each) - most} more" if len(each) > most else ""
    return ", ".join(each[:most]) + more


def _visible(character: str) -> str:
    return " " if unicodedata.category(character).startswith("Z") else UNSEEN
