"""How the files of the package hang together, read from their source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"


def modules(root: Path) -> dict[str, Path]:
    names = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if "_proto" not in parts:
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(root: Path) -> dict[str, set[str]]:
    """Which module imports which. An import counts wherever it stands: under TYPE_CHECKING, in a function."""
    known = modules(root)
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        seen: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                seen |= {alias.name for alias in node.names} & set(known)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: name the module in full"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    seen |= {inner if inner in known else str(node.module)} & set(known)
        found[name] = seen - {name}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every module that can be reached from itself, with the way."""
    found: list[list[str]] = []
    for start in sorted(graph):
        ways, seen = [[start]], {start}
        while ways:
            way = ways.pop()
            for following in sorted(graph[way[-1]]):
                if following == start:
                    found.append([*way, start])
                elif following not in seen:
                    seen.add(following)
                    ways.append([*way, following])
    return found


def test_no_two_files_import_each_other() -> None:
    graph = imports(SOURCE)
    assert len(graph) > 40
    assert circles(graph) == []


def test_the_words_know_nothing_of_the_wire() -> None:
    graph = imports(SOURCE)
    for name, used in graph.items():
        if name.startswith("aegis.core.") and name != "aegis.core.policy":
            assert all(other.startswith("aegis.core.") for other in used), (name, used)
        if not name.startswith("aegis.server"):
            assert not {other for other in used if other.startswith("aegis.server")}, name
        if not name.startswith(("aegis.adapters", "aegis.runtime", "aegis.server", "aegis.testing")):
            upper = {other for other in used if other.startswith(("aegis.adapters.", "aegis.testing"))}
            assert not upper, (name, upper)
        if name.startswith("aegis.runtime"):
            assert not {other for other in used if other.startswith("aegis.testing")}, name


@pytest.mark.parametrize(
    "import_of_a",
    [
        "from pkg.a import A",
        "import pkg.a",
        "def late():\n    from pkg import a",
        "if TYPE_CHECKING:\n    from pkg.a import A",
    ],
)
def test_a_circle_is_found_however_it_is_written(tmp_path: Path, import_of_a: str) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from pkg.b import B\n")
    (package / "b.py").write_text("from pkg.c import C\n")
    (package / "c.py").write_text("")
    assert circles(imports(tmp_path)) == []
    (package / "c.py").write_text(import_of_a + "\n")
    assert ["pkg.a", "pkg.b", "pkg.c", "pkg.a"] in circles(imports(tmp_path))
