"""Makes the notebooks of the tutorials, executed at full size: python docs/tutorials/build.py [NAME ...]

Each script NAME.py beside this file becomes NAME.ipynb. Edit the scripts, not the notebooks.
"""

import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbconvert.preprocessors import ExecutePreprocessor

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.name != Path(__file__).name)
PYTHON_OUTPUT_ONLY = "--IPKernelApp.capture_fd_output=False"  # without TensorFlow's C++ messages about missing devices
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def executed(script: Path) -> nbformat.NotebookNode:
    """Return the notebook of a script in jupytext's percent format, executed in a temporary folder."""
    notebook = jupytext.read(script)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id, cell.metadata = f"cell-{number}", {}  # otherwise ids are random, and differ in each build
    with tempfile.TemporaryDirectory() as folder:
        run = ExecutePreprocessor(timeout=None, record_timing=False, extra_arguments=[PYTHON_OUTPUT_ONLY])
        run.preprocess(notebook, {"metadata": {"path": folder}})
    notebook.metadata.language_info = nbformat.from_dict({"name": "python"})  # the kernel adds its version
    return notebook


def main(names: list[str]) -> None:
    if unknown := set(names) - set(NAMES):
        sys.exit(f"There is no tutorial {', '.join(sorted(unknown))}. Known: {', '.join(NAMES)}")
    for name in names or NAMES:
        started = time.perf_counter()
        nbformat.write(executed(HERE / f"{name}.py"), HERE / f"{name}.ipynb")
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
