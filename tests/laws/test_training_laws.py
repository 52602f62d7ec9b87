"""Laws 3 to 7, on the Keras that this process uses."""

import pytest
import tiny

from tf_lottery import layers, model_masks, state
from tf_lottery.keras_api import keras
from tf_lottery.training import LearningRate

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "weight decay": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "global clipping": lambda: keras.optimizers.Adam(0.05, global_clipnorm=0.1),
}
MODELS = {"dense": tiny.dense, "convolutional": tiny.convolutional, "nested": tiny.nested}


class Watch(keras.callbacks.Callback):
    """Looks at the weights whenever user code can."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(tiny.is_pruned_to_plus_zero(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(tiny.is_pruned_to_plus_zero(self.model))


def same_bits(first, second):
    return all(
        first[group][name].tobytes() == second[group][name].tobytes() for group in first for name in first[group]
    )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("steps_per_execution", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_law_4_pruned_weights_are_plus_zero_whenever_user_code_looks(optimizer, steps_per_execution, jit_compile):
    model = layers.make_prunable(tiny.convolutional())
    model_masks.set_masks(model, tiny.half_masks(model))
    settings = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
    model.compile(OPTIMIZERS[optimizer](), tiny.loss(), **settings)
    model.fit(tiny.X, tiny.Y, batch_size=6, epochs=2, verbose=0, callbacks=[watch := Watch()])
    assert len(watch.seen) >= 6
    assert all(watch.seen)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_law_4_holds_under_mixed_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = layers.make_prunable(tiny.convolutional())
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model_masks.set_masks(model, tiny.half_masks(model))
    model.compile("adam", tiny.loss())
    model.fit(tiny.X, tiny.Y, batch_size=6, epochs=2, verbose=0, callbacks=[watch := Watch()])
    assert all(watch.seen)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_law_4_holds_in_our_own_training(jit_compile):
    model = layers.make_prunable(tiny.convolutional())
    model_masks.set_masks(model, tiny.half_masks(model))
    trainer = tiny.trainer(model, keras.optimizers.AdamW(LearningRate(0.05), weight_decay=0.1), jit_compile=jit_compile)
    seen = []
    trainer.train(0, 12, order_seed=0, on_segment=lambda steps: seen.append(tiny.is_pruned_to_plus_zero(model)))
    assert seen == [True] * 3


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("build", MODELS)
def test_law_5_an_all_ones_mask_trains_bit_for_bit_like_the_model_without_masks(build, optimizer, jit_compile):
    plain = MODELS[build]()
    masked = layers.make_prunable(plain)
    for model in (plain, masked):
        model.compile(OPTIMIZERS[optimizer](), tiny.loss(), jit_compile=jit_compile)
        model.fit(tiny.X, tiny.Y, batch_size=6, epochs=2, verbose=0, shuffle=False)
    assert same_bits({"weights": state.weights(plain)}, {"weights": state.weights(masked)})


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("k", [0, 3, 4, 11, 12])
@pytest.mark.parametrize("build", MODELS)
def test_law_6_retraining_from_step_k_with_all_ones_masks_ends_as_the_dense_run(build, k, jit_compile):
    model = layers.make_prunable(MODELS[build]())
    schedule = LearningRate(0.05, drops=(5, 9), warmup=4)
    trainer = tiny.trainer(model, keras.optimizers.Adam(schedule), jit_compile=jit_compile)
    dense = trainer.train(0, 12, order_seed=1, snapshot_at=k)
    end = state.capture(model, trainer.optimizer)
    state.restore(dense.snapshot, model, trainer.optimizer)
    again = trainer.train(k, 12, order_seed=1)
    assert same_bits(end, state.capture(model, trainer.optimizer))
    losses = {row["step"]: row["validation_loss"] for row in dense.history}
    assert all(losses[row["step"]] == row["validation_loss"] for row in again.history)


def test_law_6_the_snapshot_changes_nothing():
    model = layers.make_prunable(tiny.convolutional())
    trainer = tiny.trainer(model)
    start = state.capture(model, trainer.optimizer)
    trainer.train(0, 12, order_seed=1)
    without = state.capture(model, trainer.optimizer)
    state.restore(start, model, trainer.optimizer)
    trainer.train(0, 12, order_seed=1, snapshot_at=5)
    assert same_bits(without, state.capture(model, trainer.optimizer))


@pytest.mark.parametrize("build", MODELS)
def test_law_7_predict_and_evaluate_change_no_weight(build):
    model = layers.make_prunable(MODELS[build]())
    model_masks.set_masks(model, tiny.half_masks(model))
    model.compile("sgd", tiny.loss())
    before = [weight.tobytes() for weight in model.get_weights()]
    model.predict(tiny.X, verbose=0)
    model.evaluate(tiny.X, tiny.Y, verbose=0)
    tiny.trainer(model).evaluate("test")
    assert [weight.tobytes() for weight in model.get_weights()] == before
