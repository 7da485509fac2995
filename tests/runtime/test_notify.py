"""What a notification says."""

import pytest

from tasks.runtime.notify import MOST, shortened

LINK = "Answer: https://prefect.example.com/v2/runs/flow-run/1"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (f"short\n{LINK}", f"short\n{LINK}"),
        ("x" * MOST, "x" * MOST),
        ("x" * 5000, "x" * MOST),
        (f"{'x' * 5000}\n{LINK}", f"{'x' * (MOST - len(LINK) - 2)}…\n{LINK}"),
    ],
)
def test_a_long_body_is_cut_before_its_link(body: str, told: str) -> None:
    assert shortened(body) == told
