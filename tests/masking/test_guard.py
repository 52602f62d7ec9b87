import copy
import inspect

import numpy as np
import pytest
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery.core import pruning
from tf_lottery.keras_compat import keras
from tf_lottery.masking import guard, model_masks

BUILDS = [tiny.dense, tiny.subclassed]
LEAKS = {
    "assign": lambda model, path: [w.assign(np.ones(w.shape)) for w, _ in model_masks.masked_variables(model).values()],
    "set_weights": lambda model, path: model.set_weights(
        [w if w.dtype == bool else np.ones_like(w) for w in model.get_weights()]
    ),
    "load_weights": lambda model, path: load_leaky_file(model, path / "leaky.weights.h5"),
}
USES = {
    "evaluate": lambda model, path: model.evaluate(tiny.X, tiny.Y, verbose=0),
    "predict": lambda model, path: model.predict(tiny.X, verbose=0),
    "save": lambda model, path: model.save(path / "model.keras"),
    "save_weights": lambda model, path: model.save_weights(path / "model.weights.h5"),
}


def load_leaky_file(model, path):
    LEAKS["assign"](model, path)
    type(model).save_weights(model, path)  # bypasses the guard
    tfl.apply_masks(model)
    model.load_weights(path)


def compiled(build):
    model = tiny.half_masked(build)
    model.compile(keras.optimizers.SGD(0.01), tiny.loss(), jit_compile=False)
    return model


class AtBegin(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.masked = tiny.is_pruned_to_plus_zero(self.model)


CASES = [(build, leak) for build in BUILDS for leak in LEAKS]


@pytest.mark.parametrize(
    ("build", "leak"), always((tiny.dense, "assign"), (tiny.subclassed, "load_weights"), among=CASES)
)
def test_pruned_weights_that_were_changed_are_zero_as_soon_as_the_model_is_used(build, leak, tmp_path):
    model = compiled(build)
    for use in USES.values():
        LEAKS[leak](model, tmp_path)
        assert not tiny.is_pruned_to_plus_zero(model)
        use(model, tmp_path)
        assert tiny.is_pruned_to_plus_zero(model)
    LEAKS[leak](model, tmp_path)
    model.fit(tiny.X, tiny.Y, verbose=0, callbacks=[begin := AtBegin()])
    assert begin.masked


@pytest.mark.parametrize("build", BUILDS)
def test_early_stopping_restores_masks_and_weights_of_one_epoch(build):
    class Prune(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            masks = tfl.get_masks(self.model)
            tfl.set_masks(self.model, pruning.prune(model_masks.prunable_weights(self.model), masks, 0.5))

        def on_epoch_end(self, epoch, logs=None):
            logs["worse"] = epoch

    model = tfl.make_prunable(build())
    model.compile("adam", tiny.loss(), jit_compile=False)
    stop = keras.callbacks.EarlyStopping("worse", mode="min", patience=1, restore_best_weights=True)
    model.fit(tiny.X, tiny.Y, epochs=3, verbose=0, callbacks=[Prune(), stop])
    assert tfl.density(model) == pytest.approx(0.5, abs=0.01)  # not the 0.25 of the second epoch
    model.predict(tiny.X, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)


def test_an_action_runs_once_a_call_and_gets_the_arguments_of_the_call():
    class Thing:
        def fit(self, *args, **kwargs):
            return ("fit", args, kwargs)

    thing, seen = Thing(), []

    def first(*args, **kwargs):
        seen.append(("first", args, kwargs))

    def second(*args, **kwargs):
        seen.append(("second", args, kwargs))

    for action in (first, first, second, first):
        guard.call_before(thing, guard.USES, action)
    assert thing.fit(1, two=2) == ("fit", (1,), {"two": 2})
    assert seen == [("second", (thing, 1), {"two": 2}), ("first", (thing, 1), {"two": 2})]
    guard.release(thing)
    assert vars(thing) == {}


def test_methods_keep_their_signatures_and_docstrings():
    plain, model = tiny.dense(), tiny.half_masked()
    for name in USES:
        assert inspect.signature(getattr(model, name)) == inspect.signature(getattr(plain, name))
        assert getattr(model, name).__doc__ == getattr(plain, name).__doc__


def test_a_guarded_model_can_be_copied():
    model = tiny.half_masked()
    assert tiny.same_masks(copy.deepcopy(model), model)
    assert tiny.same_masks(keras.models.clone_model(model), tfl.make_prunable(tiny.dense()))


def test_other_models_of_the_class_are_not_changed():
    tiny.half_masked(tiny.subclassed)
    assert not hasattr(tiny.Net.fit, "actions")
    assert not hasattr(tiny.subclassed().fit, "actions")
