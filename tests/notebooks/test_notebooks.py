"""Every notebook runs from top to bottom in a fresh kernel, and what is stored in it is the result of such a run.

The notebooks assert each of their claims, so running them is the test of what they say.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

import refscore  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LOCAL_PATH = re.compile(
    r"(?<![\w.:/$\\])/(?:home|Users|root|tmp|work|usr|opt|mnt|var|srv|private|workspace|builds?)/[\w.-]|\b[A-Za-z]:\\\\?Users\\"
)
MOST_BYTES = 1 << 20

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def execute(notebook, folder: Path) -> None:
    """Run all cells in a fresh kernel of this interpreter, with ``folder`` as its working directory.

    Without directories to look in, jupyter_client falls back on the kernel of the running interpreter (ipykernel's own
    specification). So nothing needs to be registered, and a kernel of that name registered for another environment is not taken.
    The kernel imports the same refscore as this process.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    specifications = KernelSpecManager(kernel_dirs=[])
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specifications)
    client = nbclient.NotebookClient(
        notebook, km=manager, timeout=300, startup_timeout=120, resources={"metadata": {"path": str(folder)}}
    )
    package = str(Path(refscore.__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as settings:  # a user's IPython start-up files are not part of the notebook
        client.execute(env={**os.environ, "PYTHONPATH": search, "IPYTHONDIR": settings}, cleanup_kc=True)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def texts(notebook):
    """Everything in it that a reader sees as text: sources, and outputs that are not images."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield "\n".join(output.get("traceback", []))
            yield from (str(data) for kind, data in output.get("data", {}).items() if not kind.startswith("image/"))


def test_there_are_notebooks():
    assert NOTEBOOKS, f"no notebooks in {FOLDER}"


@pytest.mark.slow
@each_notebook
def test_runs_without_error(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    execute(notebook, tmp_path)
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, 1 + len(code_cells(notebook))))


@each_notebook
def test_is_stored_as_run(path):
    """Valid, every cell executed once and in order, some output, no error, no complaints on stderr, one name for the kernel."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, 1 + len(cells)))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs, "no outputs are stored: execute the notebook before it is committed"
    for output in outputs:
        assert output.output_type != "error", output.get("evalue")
        assert output.get("name") != "stderr", output.text


@each_notebook
def test_carries_nothing_of_the_machine(path):
    """No absolute paths, no execution times, and a size that a repository can bear."""
    notebook = nbformat.read(path, as_version=4)
    for text in texts(notebook):
        found = LOCAL_PATH.search(text)
        assert not found, f"a local path: ...{text[max(0, found.start() - 40):found.end() + 40]}..."
    assert not any("execution" in cell.metadata for cell in notebook.cells)
    assert path.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("text", ["read /home/me/x.npy", 'File "/tmp/a.py"', "cd /srv/data/x", r"C:\Users\me", "/root/.cache"])
def test_local_paths_are_recognised(text):
    assert LOCAL_PATH.search(text)


@pytest.mark.parametrize("text", ["https://example.org/home/page", "$x/tmp$", "d/(2 sigma^2)", "1/2 E", "notebooks/tmp/a"])
def test_other_slashes_are_not(text):
    assert not LOCAL_PATH.search(text)


def test_a_failing_cell_fails(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3, 'arithmetic'")])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="arithmetic"):
        execute(notebook, tmp_path)


def test_the_kernel_is_this_interpreter(tmp_path):
    """Whatever kernels are registered on this machine."""
    source = "import sys, refscore; print(sys.prefix); print(refscore.__file__)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    execute(notebook, tmp_path)
    import sys

    prefix, file = notebook.cells[0].outputs[0].text.split("\n")[:2]
    assert Path(prefix) == Path(sys.prefix)
    assert Path(file).resolve() == Path(refscore.__file__).resolve()
