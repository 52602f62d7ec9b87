import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import variants
from tf_lottery.experiment.config import Experiment, Prune, Train, fields
from tf_lottery.experiment.validation import check

SWEEP = Experiment(
    prune=Prune(levels=3),
    variants=("k=0:", "k=60: prune.rewind_to=60it", "low: train.learning_rate=0.01; train.drops=('5it', '7it')"),
)


def sweep(*texts):
    return Experiment(variants=texts)


def test_an_experiment_without_variants_is_its_only_one():
    config = Experiment()
    assert variants.members(config) == {"": config}


def test_a_variant_is_the_experiment_with_other_values_for_some_fields():
    assert variants.labels(SWEEP) == ["k=0", "k=60", "low"]
    base = Experiment(prune=Prune(levels=3))
    assert variants.of(SWEEP, "k=0") == base
    assert variants.of(SWEEP, "k=60") == Experiment(prune=Prune(levels=3, rewind_to="60it"))
    assert variants.of(SWEEP, "low") == Experiment(
        prune=Prune(levels=3), train=Train(learning_rate=0.01, drops=("5it", "7it"))
    )
    assert SWEEP.prune.rewind_to == "0it"


def test_every_kind_of_value_can_be_written():
    text = (
        "all: prune.levels=1; prune.fraction=0.5; prune.reset_optimizer=True; controls=(); "
        "model.name='conv_2'; prune.exclude=('output',); stability.levels=(1, 2)"
    )
    found = fields(variants.of(sweep(text), "all"))
    names = ("prune.levels", "prune.fraction", "prune.reset_optimizer", "controls", "model.name", "prune.exclude")
    assert [found[name] for name in names] == [1, 0.5, True, [], "conv_2", ["output"]]
    assert found["stability.levels"] == [1, 2]


def test_a_variant_written_from_its_experiment_is_read_as_that():
    for label, member in variants.members(SWEEP).items():
        written = variants.text(label, member, SWEEP)
        assert variants.of(Experiment(prune=Prune(levels=3), variants=(written,)), label) == member


def test_variants_share_a_dense_network_unless_they_train_otherwise():
    config = sweep(
        "k=0:",
        "k=60: prune.rewind_to=60it",
        "one-shot: prune.levels=1; shuffle=fresh",
        "low: train.learning_rate=0.01",
        "bare: prune.exclude=('output',)",
    )
    found = [variants.dense_network(member) for member in variants.members(config).values()]
    assert found[0] == found[1] == found[2]
    assert len({found[0], found[3], found[4]}) == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("k=60 prune.rewind_to=60it",), '`variants` are written "label: field=value; field=value"'),
        (("a/b: prune.levels=1",), "Received: 'a/b: prune.levels=1'"),
        (("../b:",), "a label of letters"),
        ((":",), "a label of letters"),
        (("controls:",), "not level_…, shuffle_seed_… or controls"),
        (("level_01:",), "a label of letters"),
        (("a:", "a: prune.levels=1"), "a label each, capitals or not. Received: a, a"),
        (("b:", "a:", "A: prune.levels=1"), "Received: a, A"),
        (("a: prune.levels=1; prune.levels=2",), "gives each field once. Received: 'prune.levels' twice"),
        (("a: prune.level=1",), r"Received: 'prune.level=1' in 'a: prune.level=1'"),
        (("a: prune.levels",), "A variant says field=value"),
        (("a: seed=1",), "other than seed, replicates, variants, train.threads, train.jit_compile"),
        (("a: train.threads=2",), "Received: 'train.threads=2'"),
        (("a: prune.levels=one",), "The value of a variant cannot be read. Received: 'prune.levels=one'"),
        (("a: prune.levels=1.5",), "Variant 'a': `prune.levels` must be a whole number. Received: 1.5"),
        (("a:", "b: prune.fraction=25"), r"Variant 'b': .*For 25 percent write 0.25"),
    ],
)
def test_impossible_variants_are_refused(texts, message):
    with pytest.raises(ConfigError, match=message):
        check(sweep(*texts))


def test_an_unknown_variant_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"There is no variant 'k=6'\. Known: k=0, k=60, low"):
        variants.of(SWEEP, "k=6")
