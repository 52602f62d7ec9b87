import pytest

from tf_lottery import models
from tf_lottery.errors import ModelError


def test_lenet_has_the_parameters_of_the_paper():
    model = models.build("lenet_300_100", (28, 28, 1), 10)
    assert model.count_params() == 266_610
    assert model.output_shape == (None, 10)
    assert [layer.name for layer in model.layers][-1] == "output"


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"Unknown model 'lenet'. Known: lenet_300_100"):
        models.build("lenet", (28, 28, 1), 10)
