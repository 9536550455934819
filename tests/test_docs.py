"""The documentation is true: commands parse, files exist, make targets are there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gatewright.runtime.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _shell_lines(page: Path) -> list[str]:
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`(gatewright [^`\n]+)`", page.read_text("utf-8"))
    return [line.strip().removeprefix("$ ") for line in [*lines, *inline]]


def _commands() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for page in PAGES:
        for line in _shell_lines(page):
            for part in line.split("&&"):
                if part.strip().startswith("gatewright "):
                    found.append((page.name, part.strip()))
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), _commands())
def test_a_documented_command_is_one_that_the_program_takes(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    words = [word for word in words if word not in ("|", ">")]
    tool: click.Command = main
    context = click.Context(tool, info_name="gatewright")
    while isinstance(tool, click.Group):
        remaining = tool.make_parser(context).parse_args(list(words))[1]
        if not remaining:
            return  # a bare noun, or an option of the program itself
        name, *words = remaining
        found = tool.get_command(context, name)
        assert found is not None, f"{page}: {command!r}: there is no command {name!r}"
        tool = found
        context = click.Context(tool, info_name=name, parent=context)
    placeholders = [re.sub(r"^\[|\]$|…", "", word) for word in words]
    tool.make_parser(context).parse_args(placeholders)


def test_the_code_for_authors_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "agents.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "agents.md", "exec", dont_inherit=True), names)
        if "ROUTE" in names:
            choice = names["decide"](names["ROUTE"], names["Case"](amount=5))  # type: ignore[operator]
            assert choice.option == "serve"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_documented_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        for line in _shell_lines(page):
            if match := re.match(r"make ([a-z]+)", line):
                assert match[1] in targets, f"{page.name}: {line}"


def test_files_that_the_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for named in re.findall(r"`((?:tests|docs|benchmarks)/[\w/.]+)`", text):
        assert (ROOT / named).exists(), named
