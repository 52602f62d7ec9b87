"""Masks after Keras 3 has replaced weights, by `quantize`, or added to them, by `enable_lora`."""

import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks

pytestmark = [
    pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only"),
    pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
]
X = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


def half_masked(in_place=False):
    layers = [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
    return tiny.half_masked(lambda: keras.Sequential(layers), in_place=in_place)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_quantized_model_keeps_zeros_and_masks_and_can_be_stripped(mode, in_place, tmp_path):
    model = half_masked(in_place)
    masks = tfl.get_masks(model)
    model.quantize(mode)
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    for name, weight in model_masks.prunable_weights(model).items():
        assert not weight[~masks[name]].any()
        assert weight[masks[name]].any()
    expected = model(X).numpy()
    stripped = tfl.strip_pruning(model)
    assert np.array_equal(stripped(X), expected)
    stripped.save(tmp_path / "stripped.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "stripped.keras")(X), expected)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("use", [tfl.get_masks, tfl.density, tfl.strip_pruning])
def test_a_format_that_packs_weights_is_named_with_the_way_out_which_works(use, in_place):
    model = half_masked(in_place)
    model.quantize("int4")
    with pytest.raises(ModelError, match=r"kernel' has shape \(4, 4\), its mask \(4, 8\): .*Strip the model first"):
        use(model)
    tfl.strip_pruning(half_masked(in_place)).quantize("int4")


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("use", [tfl.get_masks, tfl.density, tfl.apply_masks, tfl.strip_pruning])
@pytest.mark.filterwarnings("default")
def test_a_model_with_lora_is_told_that_its_weights_are_no_longer_sparse(use, in_place):
    model = half_masked(in_place)
    dense = model.layers[-1] if in_place else model.layers[-1].layer
    dense.enable_lora(1)
    with pytest.warns(UserWarning, match="LoRA adds dense matrices to the masked weights of dense_1"):
        use(model)
