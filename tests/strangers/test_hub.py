"""Models of KerasHub, and its backbones inside other models, keep all promises, step by step."""

import pytest
from strangers.journey import travel

from tf_lottery import keras_compat

if keras_compat.LEGACY:
    pytest.skip("KerasHub is for Keras 3", allow_module_level=True)
pytest.importorskip("keras_hub")

from strangers.hub import EXAMPLES  # imports keras_hub

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_model_goes_through_all_steps(name, tmp_path):
    travel(EXAMPLES[name], tmp_path)
