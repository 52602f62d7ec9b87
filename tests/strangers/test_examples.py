"""Models in the style of Keras' code examples keep all promises, step by step."""

import pytest
from strangers import generative, structured, text, training_setups, vision
from strangers.journey import travel
from tiers import nightly, slow

EXAMPLES = {
    name: example
    for kind in (vision, text, generative, structured, training_setups)
    for name, example in kind.EXAMPLES.items()
}
QUICK = {  # two to three seconds each, of different kinds
    *("customized_fit", "dcgan", "endpoint_layer", "layers_in_lists", "mnist_convnet"),
    *("sequential_subclass", "structured_data", "use_ema"),
}


@pytest.mark.parametrize("name", [slow(name) if name in QUICK else nightly(name) for name in EXAMPLES])
def test_an_example_goes_through_all_steps(name, tmp_path):
    travel(EXAMPLES[name], tmp_path)
