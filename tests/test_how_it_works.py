"""What docs/how_it_works.md shows, is so."""

import doctest
import re
from pathlib import Path

from tf_lottery.keras_compat import keras

PAGE = (Path(__file__).parents[1] / "docs/how_it_works.md").read_text()


def test_every_example_prints_what_the_page_says():
    blocks = re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL)
    keras.utils.set_random_seed(0)
    page = doctest.DocTestParser().get_doctest("\n".join(blocks), {"keras": keras}, "how_it_works.md", None, 0)
    assert len(page.examples) > 15
    assert doctest.DocTestRunner().run(page).failed == 0
