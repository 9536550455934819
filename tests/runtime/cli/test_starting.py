"""`gatewright init` writes a project that is complete, and overwrites nothing."""

from pathlib import Path

from click.testing import CliRunner

from gatewright.runtime.cli import main
from gatewright.runtime.cli.starting import FILES
from gatewright.runtime.config import load
from gatewright.safety.rules.packs import Pack


def test_the_files_are_written_and_belong_together(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / "new" / "project")])

    config = load(cwd=tmp_path / "new" / "project", environ={})
    deployment = config.deployments["clerk"]
    assert result.exit_code == 0
    assert Path(deployment.graph.rpartition(":")[0]).exists()
    assert deployment.rules is not None
    assert [rule.id for rule in Pack.load(deployment.rules).rules] == ["large-refund", "refund-limit"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("mine", "utf-8")

    result = CliRunner().invoke(main, ["init", str(tmp_path)])

    assert result.exit_code == 1
    assert "agent.py' exists and is not overwritten" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["agent.py"]
    assert (tmp_path / "agent.py").read_text("utf-8") == "mine"


def test_the_agent_imports_nothing_of_ours() -> None:
    from gatewright.runtime.cli.starting import STARTER

    assert "import gatewright" not in (STARTER / "agent.py").read_text("utf-8")
    assert "from gatewright" not in (STARTER / "agent.py").read_text("utf-8")
    assert all((STARTER / name).exists() for name in FILES)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")

    result = CliRunner().invoke(main, ["init", str(tmp_path / "file" / "project")])

    assert result.exit_code == 4
    assert "cannot write" in result.stderr
