"""Text that came from elsewhere, made safe to show."""

import re

from tasks.core.models import LINE


def literal(text: str) -> str:
    """A line of foreign text that shows as it is, without a meaning in Markdown or HTML."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def one_line(text: str, limit: int = LINE) -> str:
    """A text that came from outside as one printable line: it can neither begin another one nor hide itself."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:limit]
