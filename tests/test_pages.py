"""What the pages name is there: files, pictures, headings, targets, programs, modules, settings, messages."""

import ast
import importlib
import re
import shutil
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.settings import Settings

PROJECT = Path(__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKE = re.compile(r"(?<![\w-])make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
ELSEWHERE = {"gh", "aws", "argocd", "docker", "kubectl"}
"""Programs of the users' own machines, which need not be on this one."""
OWN = {"PATH", "RECEIVER"}
"""What a page exports for its own next lines."""
SET = re.compile(r"^(\w+=(\$\(.*\)|'[^']*'|\"[^\"]*\"|\S*)\s*)+")
SHELL = {"export", "cd", "echo", "printf"}

HOLE = re.compile(r"(%s|\{\w*\})")
ENOUGH = 12
"""Characters that a text has beside the values in it; of shorter ones any line could be made."""


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of a page in one of these languages."""
    for found in FENCE.finditer(page.read_text()):
        if found[2] in languages:
            yield re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of the page's shell blocks, without what is set for it; here-documents are data."""
    for block in blocks(page, "bash", "sh"):
        joined = re.sub(r"\\\n\s*", " ", re.sub(r"<<'?(\w+)'?.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE))
        for line in re.sub(r"'[^']*'", "'...'", joined).splitlines():
            words = SET.sub("", line).split("#")[0].split()
            if words and not line.startswith((" ", "\t")):
                yield words


def links_of(page: Path) -> list[str]:
    """A page's links and pictures, without those to other sites."""
    return [link for link in LINK.findall(FENCE.sub("", page.read_text())) if ":" not in link]


def anchors(page: Path) -> set[str]:
    """A page's headings, as GitHub makes links of them."""
    text = FENCE.sub("", page.read_text())
    kept = "".join(c for c in text.lower() if c in "-_ \n#" or unicodedata.category(c)[0] in "LNM")
    return {line.lstrip("#").strip().replace(" ", "-") for line in kept.splitlines() if line.startswith("#")}


def programs() -> set[str]:
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    for target in scripts.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    return set(scripts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_can_be_run(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for said in re.findall(r"`(make [^`]*)`", FENCE.sub("", page.read_text())):
        for found in MAKE.findall(said):
            assert set(found.split()) <= targets, said
    known, venv = programs() | ELSEWHERE | SHELL, Path(sys.executable).parent
    for words in commands(page):
        program = words[0].removeprefix(".venv/bin/")
        assert program in known or (venv / program).exists() or shutil.which(program), words
        if program == "make":
            assert set(words[1:]) <= targets, words
        if program == "uvicorn":
            module, _, name = words[1].partition(":")
            assert hasattr(importlib.import_module(module), name), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_settings_that_are_exported_exist(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for block in blocks(page, "bash", "sh"):
        for line in block.splitlines():
            for name in re.findall(r"\b([A-Z][A-Z_]+)=", line if line.startswith("export ") else ""):
                assert name in known | OWN or name.startswith("PREFECT_"), line


def test_every_page_is_reached_from_the_readme() -> None:
    seen, new = set[Path](), {PROJECT / "README.md"}
    while new:
        seen |= new
        links = {(page.parent / link.partition("#")[0]).resolve() for page in new for link in links_of(page)}
        new = {link for link in links if link.suffix == ".md" and link.exists()} - seen
    assert set(PAGES) <= seen


def skeletons() -> list[re.Pattern[str]]:
    """Every text that flows/ and tasks/ may say, with anything where a value is put in."""
    found = []
    for path in (path for folder in ("flows", "tasks") for path in (PROJECT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [each.value if isinstance(each, ast.Constant) else None for each in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [part if number % 2 == 0 else None for number, part in enumerate(HOLE.split(node.value))]
            else:
                continue
            if len("".join(part for part in parts if part is not None)) >= ENOUGH:
                found.append(
                    re.compile("".join(".*" if part is None else re.escape(part) for part in parts), re.DOTALL)
                )
    return found


@pytest.mark.parametrize(
    "page",
    [f"{folder}{page}.md" for folder in ("", "vi/") for page in ("operate", "runbooks", "troubleshoot")],
)
def test_messages_are_quoted_as_the_code_makes_them(page: str) -> None:
    known = skeletons()
    quoted = [line for block in blocks(PROJECT / "docs" / page, "text") for line in block.splitlines()]
    assert quoted
    for line in quoted:
        assert any(each.fullmatch(line) for each in known), line


def test_the_map_names_every_package() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    for path in (path for folder in ("flows", "tasks") for path in (PROJECT / folder).rglob("__init__.py")):
        assert f"`{path.parent.relative_to(PROJECT).as_posix()}/`" in text, path


def test_the_tests_that_the_security_page_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (PROJECT / "docs/security.md").read_text()))
    written = {
        name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 10
    assert named <= written, named - written
