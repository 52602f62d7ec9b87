from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment, Prune, Stability, Train, fields
from tf_lottery.experiment.smoke import smoke
from tf_lottery.experiment.validation import check


def test_a_smoke_run_is_the_same_experiment_at_another_size():
    config = Experiment(train=Train(drops=("every 3ep",), warmup="5ep"), prune=Prune(levels=9, rewind_to="6ep"))
    small = smoke(config)
    check(small)
    assert (small.data.synthetic, small.replicates, small.prune.levels, small.prune.rewind_to) == (True, 1, 1, "2it")
    assert (small.train.steps, small.train.drops, small.train.warmup) == ("6it", ("every 2it",), "2it")
    assert config.data.synthetic is False
    assert [smoke(config, devices).train.batch_size for devices in (0, 1, 3, 8, 16)] == [8, 8, 9, 8, 16]
    different = {name for name, value in fields(small).items() if fields(config)[name] != value}
    assert different == {
        *("replicates", "data.synthetic", "data.image_size", "prune.levels", "prune.rewind_to"),
        *(
            "train.learning_rate",
            "train.steps",
            "train.evaluate_every",
            "train.batch_size",
            "train.warmup",
            "train.drops",
        ),
        *("stability.shuffle_seeds", "stability.points"),
    }


def test_a_smoke_run_has_a_small_learning_rate():
    train = smoke(Experiment(train=Train(learning_rate=0.66, final_learning_rate=6e-5))).train
    assert (train.learning_rate, train.final_learning_rate) == (0.66 / 100, 6e-5 / 100)


def test_a_smoke_run_of_a_sweep_has_its_variants():
    config = Experiment(
        prune=Prune(levels=9, rewind_to="0it"),
        stability=Stability(levels=(3, 9), shuffle_seeds=4),
        variants={
            "k=0": {},
            "k=60": {"prune.rewind_to": "60it", "train.drops": ("3ep", "4ep")},
            "one-shot": {"prune.fraction": 0.9},
        },
    )
    small = smoke(config)
    check(small)
    assert (small.stability.levels, small.stability.shuffle_seeds, small.stability.points) == ((1,), 1, 3)
    assert small.variants == {
        "k=0": {},
        "k=60": {"train.drops": ("4it",), "prune.rewind_to": "2it"},
        "one-shot": {"prune.fraction": 0.9},
    }
    assert config_lib.variant(small, "k=60").train.steps == "6it"
