"""One network of each family of `keras.applications` keeps all promises, step by step."""

import pytest
from strangers.applications import EXAMPLES
from strangers.journey import travel

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("family", EXAMPLES)
def test_a_network_goes_through_all_steps(family, tmp_path):
    travel(EXAMPLES[family], tmp_path)
