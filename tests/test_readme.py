"""The README says what the code says. With README set, it is brought up to date instead (`make docs`)."""

import os
import re
from pathlib import Path

from tasks.core.settings import Settings

README = Path(__file__).parents[1] / "README.md"
TABLE = re.compile(r"(<!-- settings:[^\n]*-->\n).*?(<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = f"`{default}`" if default not in ("", None) and name != "work_dir" else ""
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |\n")
    return "\n| name | default | meaning |\n| --- | --- | --- |\n" + "".join(rows) + "\n"


def test_the_table_of_settings_is_the_code_s() -> None:
    text = README.read_text()
    wanted = TABLE.sub(lambda found: found[1] + settings_table() + found[2], text)
    if os.environ.get("README"):
        README.write_text(wanted)
    assert wanted == README.read_text(), "make docs"


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_pictures_and_pages_it_names_are_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / link).exists(), link
