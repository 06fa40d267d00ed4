"""The import rule of the rooms: roads that are meant to be independent must not share code."""

import ast
import subprocess
import sys
from pathlib import Path

import refscore

ROOT = Path(refscore.__file__).parent
MATHEMATICS = {"densities", "networks", "processes", "objectives", "samplers", "laws", "distances", "training", "bounds", "energy"}
MAY_IMPORT = {
    "densities": set(),
    "networks": set(),
    "processes": {"densities", "networks"},
    "objectives": {"densities", "networks", "processes"},
    "samplers": {"densities", "networks", "processes"},
    "laws": {"densities"},
    "distances": {"densities"},
    "training": {"networks", "objectives"},
    "bounds": {"densities", "processes", "distances"},
    "energy": {"densities", "networks", "samplers", "objectives"},
    "strategies": {"densities", "networks", "processes"},
    "report": set(),
    "identities": MATHEMATICS | {"report"},
    "mistakes": MATHEMATICS | {"identities"},
    "conformance": MATHEMATICS | {"report", "mistakes"},
    "vectors": MATHEMATICS | {"conformance", "report"},
    "cli": MATHEMATICS | {"report", "identities", "mistakes", "conformance", "vectors"},
}
APART = [("objectives/explicit.py", "objectives/denoising.py"), ("energy/enumeration.py", "energy/_transfer.py")]


def imports(path):
    """(room, module) pairs of refscore that a file imports, anywhere in it but for annotations."""
    tree = ast.parse(path.read_text())
    annotations = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in node.body
    }
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "refscore" and len(parts) > 1:
                yield parts[1], parts


def test_rooms_import_only_what_lies_below_them():
    wrong = []
    for room, allowed in MAY_IMPORT.items():
        for path in (ROOT / room).rglob("*.py"):
            for target, _ in imports(path):
                if not target.startswith("_") and target not in allowed | {room}:
                    wrong.append(f"{path.relative_to(ROOT)} imports {target}")
    assert not wrong, wrong


def test_plumbing_imports_no_room():
    wrong = [
        f"{path.name} imports {target}"
        for path in ROOT.glob("_[a-z]*.py")
        for target, _ in imports(path)
        if not target.startswith("_") and target != "parallel"
    ]
    assert not wrong, wrong


def test_every_room_is_ruled():
    rooms = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)


def test_roads_apart():
    for one, other in APART:
        for a, b in ((one, other), (other, one)):
            stem = Path(b).stem
            assert not any(stem in parts for _, parts in imports(ROOT / a)), f"{a} imports {b}"


def test_import_is_light():
    """``import refscore`` loads neither SciPy nor Matplotlib nor any room: NumPy is all it may cost."""
    heavy = ("scipy", "matplotlib", "rich", "hypothesis")
    code = f"import sys, refscore; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"


def test_every_public_name_is_documented():
    import importlib
    import inspect

    bare = []
    for room in MATHEMATICS:
        module = importlib.import_module(f"refscore.{room}")
        for name in module.__all__:
            item = getattr(module, name)
            if callable(item) and not (item.__doc__ or "").strip():
                bare.append(f"{room}.{name}")
            if inspect.isclass(item):
                for method, function in vars(item).items():
                    function = getattr(function, "fget", function)
                    if not method.startswith("_") and inspect.isfunction(function) and not (function.__doc__ or "").strip():
                        bare.append(f"{room}.{name}.{method}")
    assert not bare, bare
