import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError, PruningError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks

BUILDS = [tiny.dense, tiny.convolutional, tiny.nested, tiny.subclassed]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_get_masks_returns_what_set_masks_has_set(build, dtype):
    model = tfl.make_prunable(build())
    masks = tiny.half_masks(model)
    tfl.set_masks(model, {name: mask.astype(dtype) for name, mask in reversed(masks.items())})
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    assert {mask.dtype for mask in tfl.get_masks(model).values()} == {np.dtype(bool)}
    assert tiny.is_pruned_to_plus_zero(model)


def test_density_is_the_share_of_kept_weights():
    model = tfl.make_prunable(tiny.dense())
    masks = tfl.get_masks(model)
    masks["dense_1/kernel"][:, 0] = False
    tfl.set_masks(model, masks)
    assert tfl.density(model) == (144 + 8) / (144 + 12)
    assert tfl.density_by_weight(model) == {"dense/kernel": 1.0, "dense_1/kernel": 8 / 12}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda masks: masks.pop("dense/kernel"), "missing 'dense/kernel'"),
        (lambda masks: masks.update(other=np.ones(3)), "unknown 'other'"),
        (
            lambda masks: masks.update({"dense_1/kernel": np.ones((1, 3))}),
            r"'dense_1/kernel' has shape \(1, 3\), expected \(4, 3\)",
        ),
        (
            lambda masks: masks.update({"dense_1/kernel": np.full((4, 3), 0.5)}),
            "'dense_1/kernel' holds values other than 0 and 1",
        ),
        (
            lambda masks: masks.update({"dense_1/kernel": np.full((4, 3), "1")}),
            "'dense_1/kernel' holds values other than 0 and 1",
        ),
        (
            lambda masks: masks.update({"dense_1/kernel": np.full((4, 3), np.nan), "x": 1, "y": 2}),
            "unknown 'x'; unknown 'y'; 'dense_1/kernel' holds values",
        ),
    ],
)
def test_all_wrong_masks_are_named_and_nothing_is_changed(change, message):
    model = tiny.half_masked()
    before = [weight.tobytes() for weight in model.get_weights()]
    masks = {name: np.ones_like(mask) for name, mask in tfl.get_masks(model).items()}
    change(masks)
    with pytest.raises(PruningError, match=message):
        tfl.set_masks(model, masks)
    assert [weight.tobytes() for weight in model.get_weights()] == before


def test_masks_and_weights_are_returned_as_copies():
    model = tiny.half_masked()
    for arrays in (tfl.get_masks(model), model_masks.prunable_weights(model)):
        for array in arrays.values():
            array[...] = 1
    assert 0 < tfl.density(model) < 1
    assert tiny.is_pruned_to_plus_zero(model)


@pytest.mark.parametrize("ask", [tfl.get_masks, tfl.apply_masks, tfl.density, model_masks.prunable_weights])
def test_the_error_for_a_model_without_masks_says_what_to_do(ask):
    with pytest.raises(ModelError, match=r"has no masks. Call `make_prunable\(model\)` first"):
        ask(tiny.dense())


def test_the_error_for_an_unbuilt_model_says_what_to_do():
    with pytest.raises(ModelError, match=r"is not built: give it an Input, call it on data, or `build` it first"):
        tfl.get_masks(keras.Sequential([keras.layers.Dense(3)]))


@pytest.mark.parametrize("build", BUILDS)
def test_apply_masks_sets_weights_to_zero_that_set_weights_has_changed(build):
    model = tfl.make_prunable(build())
    weights = model.get_weights()
    tfl.set_masks(model, tiny.half_masks(model))
    model.set_weights(
        [new if new.dtype == bool else old for old, new in zip(weights, model.get_weights(), strict=True)]
    )
    assert not tiny.is_pruned_to_plus_zero(model)
    tfl.apply_masks(model)
    assert tiny.is_pruned_to_plus_zero(model)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_masks_work_in_every_dtype(policy):
    model = tfl.make_prunable(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, dtype=policy), keras.layers.Dense(2)])
    )
    tfl.set_masks(model, tiny.half_masks(model))
    assert tiny.is_pruned_to_plus_zero(model)


@pytest.mark.parametrize("change", [tfl.apply_masks, lambda model: tfl.set_masks(model, tfl.get_masks(model))])
def test_weight_averages_are_masked_too(change):
    model = tiny.half_masked()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), tiny.loss())
    model.optimizer.build(model.trainable_variables)
    weights = [weight for weight, _ in model_masks.masked_variables(model).values()]
    averages = [average for _, average in keras_compat.moving_averages(model.optimizer, weights)]
    for average in averages:
        average.assign(-np.ones(average.shape))
    change(model)
    for average, mask in zip(averages, tfl.get_masks(model).values(), strict=True):
        assert average.numpy().tobytes() == np.where(mask, np.float32(-1), np.float32(0)).tobytes()
