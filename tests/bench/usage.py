"""What processes use, by /proc: those of a group of its own, as the sandbox starts them."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(group: int) -> float:
    """Seconds of CPU that a group has used, with its children that have ended."""
    return sum(sum(map(int, stat[11:15])) for _, stat in _stats(group)) / TICKS


def megabytes(group: int) -> float:
    """Resident memory of a group; what its processes share counts once for each."""
    return sum(int(stat[21]) * PAGE for _, stat in _stats(group)) / 1e6


def leader_megabytes(pid: int) -> float:
    """Resident memory of a group's first process alone."""
    return sum(int(stat[21]) * PAGE for each, stat in _stats(pid) if each == pid) / 1e6


def _stats(group: int) -> Iterator[tuple[int, list[str]]]:
    """Each process of the group: its id, and the fields of proc(5)'s stat from the third on."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[2]) == group:
                yield int(folder.name), fields
