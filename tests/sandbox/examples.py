"""How often properties are tried."""

import os


def examples(number: int) -> int:
    """Return the number for ``max_examples``; with ``QUICK`` set, as `make check` does, it is a fifth of that."""
    return max(10, number // 5) if os.environ.get("QUICK") else number
