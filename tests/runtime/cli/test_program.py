"""The program: what it loads, how it finds commands, and what it does with errors."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gatewright.agents import errors
from gatewright.runtime.cli import main, program
from gatewright.runtime.cli.desk import Desk
from gatewright.runtime.cli.grammar import Command, Lazy

HEAVY = ("asyncio", "fastapi", "httpx", "langchain_core", "langgraph", "pydantic", "rich", "sqlalchemy", "uvicorn")


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(args))
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from gatewright.runtime.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert all(f"\n  {name} " in said for name in program.COMMANDS)
    assert said.rstrip().endswith("[]")


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_is_where_it_is_said_to_be(name: str) -> None:
    code, said, _ = run(name, "--help")

    assert code == 0
    assert f"Usage: gatewright {name}" in said
    assert "--json" in said


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        (["approval"], "did you mean 'approvals'?"),
        (["run", "strat"], "did you mean 'start'?"),
        (["xyzzy"], "there are init, dev, serve"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(args: list[str], remedy: str) -> None:
    code, out, said = run(*args)

    assert (code, out) == (2, "")
    assert said.startswith("error: no command")
    assert remedy in said


def test_a_usage_error_in_json_mode_is_json_on_stdout() -> None:
    code, out, said = run("run", "show", "--json")

    assert code == 2
    assert json.loads(out)["error"]["type"] == "UsageError"
    assert said.startswith("error: ")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Adds a command `fail` that raises."""

    def add(error: BaseException) -> None:
        @click.command(cls=Command)
        def fail() -> None:
            raise error

        monkeypatch.setitem(main.commands, "fail", fail)

    return add


def test_what_an_error_quotes_cannot_rewrite_the_terminal(failing: Callable[[BaseException], None]) -> None:
    failing(errors.ConflictError("refused: \x1b[2J\u202epaid"))

    assert run("fail")[2] == "error: refused: �[2J�paid\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConflictError("c"), 1),
        (errors.UsageError("u"), 2),
        (errors.NotFoundError("n"), 2),
        (errors.UnavailableError("v"), 4),
        (errors.IntegrityError("i", index=7), 5),
        (TimeoutError("t"), 3),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("z"), 4),
    ],
)
def test_exit_codes_follow_the_class_of_the_error(
    failing: Callable[[BaseException], None], error: BaseException, code: int
) -> None:
    failing(error)

    plain, machine = run("fail"), run("fail", "--json")

    assert (plain[0], machine[0]) == (code, code)
    assert plain[1] == ""
    assert "Traceback" not in plain[2]
    assert json.loads(machine[1])["error"]["exit_code"] == code


def test_a_traceback_is_shown_when_asked_for(failing: Callable[[BaseException], None]) -> None:
    failing(ZeroDivisionError("z"))

    assert "Traceback" in run("fail", "-v")[2]


def test_a_plug_in_adds_a_command_and_cannot_replace_ours(tmp_path: Path) -> None:
    (tmp_path / "extra_commands.py").write_text(
        "import click\n@click.command(help='Say hi.')\ndef hello():\n    click.echo('hi')\n"
    )
    metadata = tmp_path / "extra-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gatewright.commands]\nhello = extra_commands:hello\nbroken = gone:gone\ndoctor = extra_commands:hello\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from gatewright.runtime.cli import main; main()"

    def call(*args: str) -> str:
        return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True).stdout

    assert call("hello") == "hi\n"
    assert "Say hi." in call("--help")
    assert "cannot be loaded from gone:gone" in call("--help")
    assert "Check that this machine" in call("doctor", "--help")


def test_the_innermost_of_repeated_options_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    @click.command(cls=Command)
    @click.pass_context
    def look(context: click.Context) -> None:
        desk = context.find_object(Desk)
        assert desk is not None
        seen.append((desk.as_json, desk.data_dir))

    monkeypatch.setitem(main.commands, "look", look)

    run("--data-dir", "one", "look", "--data-dir", "two")
    run("--json", "look")

    assert seen == [(False, Path("two")), (True, None)]


def test_a_place_that_is_no_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.lazy, "broken", Lazy("json:dumps", "Not a command."))

    code, _, said = run("broken")

    assert code == 2
    assert "'json:dumps' is not a Click command" in said
