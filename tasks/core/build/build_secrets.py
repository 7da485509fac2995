"""Build secrets and SSH keys: files in a private folder, which buildx reads, and texts that stay out of logs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Read = Callable[[], bytes]
"""Returns a secret's value; called only by a build that asks for it."""

SHORTEST = 8
"""Characters of a secret's part that is kept out of logs by itself; the whole of it is in any case."""


@dataclass
class Handed:
    """What a build is handed: arguments that name files, and the texts that stay out of its log."""

    arguments: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


def hand(private: Mapping[tuple[str, str], Read | Path], folder: Path) -> Handed:
    """Write what a build asks for, by kind and id, into a private folder; an agent's socket is only linked to.

    Raises:
        InvalidInput: a value can't be read.
    """
    handed = Handed()
    for number, ((kind, name), source) in enumerate(private.items()):
        file = folder / f"private-{number}"
        if isinstance(source, Path):
            file.symlink_to(source)
        else:
            value = source()
            file.touch(0o600)
            file.write_bytes(value)
            handed.hidden.extend(hidden_parts(value.decode(errors="replace")))
        handed.arguments.append(f"--ssh={name}={file}" if kind == "ssh" else f"--secret=id={name},src={file}")
    handed.hidden.sort(key=len, reverse=True)
    return handed


def hidden_parts(value: str) -> Iterator[str]:
    """Yield what of a secret stays out of logs: all of it, its lines, and what its lines assign."""
    yield value.strip()
    for line in value.splitlines():
        for part in (line.strip(), line.rpartition("=")[2].strip(" \t\"'")):
            if len(part) >= SHORTEST:
                yield part
