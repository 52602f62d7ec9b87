"""The example of docs/export.md runs."""

import re
from pathlib import Path

from tf_lottery import keras_compat

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/export.md").read_text()


def test_the_example_exports_a_model_in_every_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace("import keras\n", "import tf_keras as keras\n") if keras_compat.LEGACY else code
    exec(compile(code, "docs/export.md", "exec"), names := {})
    assert names["tfl"].export.costs(names["model"]).parameters == 64 * 300 + 300 + 300 * 10 + 10
    assert names["smaller"].count_params() < 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ticket", "ticket.tflite"]
