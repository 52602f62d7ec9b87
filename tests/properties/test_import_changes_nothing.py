"""Importing the package changes neither the environment nor the choice of Keras, and needs no TensorFlow."""

import os
import subprocess
import sys

import pytest

import tf_lottery

CHECK = """
{before}
import os, random, sys, warnings
import numpy as np
def look():
    return dict(os.environ), random.getstate(), np.random.get_state()[1].tolist(), list(warnings.filters)
first = look()
import tf_lottery
{use}
print(first == look())
print(sorted({{"tensorflow", "keras", "tf_keras", "tensorflow_model_optimization"}} & set(sys.modules)))
"""


def run(code, legacy):
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment |= {"TF_USE_LEGACY_KERAS": "1"} if legacy else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("legacy", [False, True])
def test_importing_changes_nothing_and_imports_no_keras(legacy):
    assert run(CHECK.format(before="", use=""), legacy) == ["True", "[]"]


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True])
def test_the_layers_import_the_chosen_keras_only_and_no_tfmot(legacy):
    keras = "tf_keras" if legacy else "keras"
    # TensorFlow and Keras change things themselves as they are imported; we add nothing to that.
    code = CHECK.format(before=f"import tensorflow, {keras}", use="tf_lottery.make_prunable")
    assert run(code, legacy) == ["True", str(sorted(["tensorflow", keras]))]


def test_every_public_name_is_there_documented_and_listed():
    assert [name for name in tf_lottery.__all__ if not getattr(tf_lottery, name).__doc__] == []
    assert set(tf_lottery.__all__) <= set(dir(tf_lottery))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tf_lottery' has no attribute 'nothing'"):
        tf_lottery.nothing  # noqa: B018
