"""Models in the style of Keras' code examples keep all promises, step by step."""

import pytest
from strangers import generative, structured, text, training_setups, vision
from strangers.journey import travel
from tiers import nightly

EXAMPLES = {
    name: example
    for kind in (vision, text, generative, structured, training_setups)
    for name, example in kind.EXAMPLES.items()
}
ALWAYS = ["mnist_convnet"]


@pytest.mark.parametrize("name", [name if name in ALWAYS else nightly(name) for name in EXAMPLES])
def test_an_example_goes_through_all_steps(name, tmp_path):
    travel(EXAMPLES[name], tmp_path)
