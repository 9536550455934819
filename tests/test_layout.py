"""The repository's shape: five components at the root, one namespace, no stray modules."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = "gatewright"


def test_components_hold_only_their_namespace_portion() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    components = config["hatch"]["build"]["dev-mode-dirs"]

    assert components == config["ruff"]["src"] == config["pyright"]["extraPaths"]
    assert components == config["mypy"]["mypy_path"]
    assert components == config["coverage"]["run"]["source"]
    for component in components:
        folder = ROOT / component
        assert (folder / NAME / component / "py.typed").exists(), component
        assert [p.name for p in (folder / NAME).iterdir() if p.name != "__pycache__"] == [component], (
            f"{component}/{NAME} must hold only `{component}` and no __init__.py"
        )
        assert not list(folder.glob("*.py")), f"a module in {component}/ would be importable bare"
