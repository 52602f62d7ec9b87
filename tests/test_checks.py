"""The checks before a commit: the same as those of the test command, and they see what they are for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tf_lottery import keras_compat

pytestmark = pytest.mark.skipif(keras_compat.LEGACY, reason="the checks are the same for both")
ROOT = Path(__file__).parents[1]
CONFIG = ROOT / ".pre-commit-config.yaml"


def hooks():
    (local,) = yaml.safe_load(CONFIG.read_text())["repos"]
    return {hook["id"]: hook["entry"] for hook in local["hooks"]}


def test_they_are_those_of_the_test_command():
    of_tests = re.findall(r'"\$python" -m (ruff \w+|mypy)', (ROOT / "scripts/test.sh").read_text())
    before_commits = [re.search(r"-m (ruff \w+|mypy)", entry)[1] for entry in hooks().values()]
    assert before_commits == of_tests == ["ruff check", "ruff format", "mypy"]


def test_the_folder_that_the_demo_makes_changes_no_verdict(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "tf_lottery").symlink_to(ROOT / "tf_lottery")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    importing = [path for path in (ROOT / "tests").rglob("*.py") if "\nimport runs\n" in path.read_text()]
    assert importing
    for path in importing:
        (tmp_path / path.name).write_text(path.read_text())
    command = (sys.executable, "-m", "ruff", "check", "--select=I", "--no-cache", *(path.name for path in importing))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.nightly
def test_they_stop_a_commit_that_has_a_fault_and_mend_what_they_can(tmp_path):
    def run(*command):
        changes = {"HOME": str(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / "cache"), "SKIP": "mypy"}
        done = subprocess.run(command, cwd=repository, env=os.environ | changes, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    repository = tmp_path / "repository"
    (repository / ".venv/bin").mkdir(parents=True)
    python = repository / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for path in (CONFIG, ROOT / "pyproject.toml"):
        (repository / path.name).write_text(path.read_text())
    (repository / "fault.py").write_text('"""A fault."""\n\nx = [1,2]\nprint(undefined)\n')
    run("git", "init")
    run("git", "add", "fault.py", CONFIG.name, "pyproject.toml")
    status, output = run(sys.executable, "-m", "pre_commit", "run", "--all-files")
    assert status == 1
    assert "F821" in output
    assert "Undefined name `undefined`" in output
    assert "x = [1, 2]" in (repository / "fault.py").read_text()
