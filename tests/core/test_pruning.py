import math
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from tf_lottery.core import masks, pruning
from tf_lottery.core.pruning import criterion_named, next_masks
from tf_lottery.errors import ExhaustedError, PruningError

SCORES = {"a": np.array([5.0, 1.0, 4.0]), "b": np.array([[2.0, 3.0]])}
ONES = masks.ones({"a": (3,), "b": (1, 2)})


def as_ints(pruned):
    return {name: mask.astype(int).tolist() for name, mask in pruned.items()}


def test_global_pruning_ranks_all_weights_together():
    assert as_ints(pruning.prune(SCORES, ONES, 0.4)) == {"a": [1, 0, 1], "b": [[0, 1]]}


def test_layerwise_pruning_ranks_each_array_by_itself():
    assert as_ints(pruning.prune(SCORES, ONES, 0.5, scope="layerwise")) == {"a": [1, 0, 0], "b": [[0, 1]]}


def test_layerwise_pruning_takes_a_fraction_for_each_weight():
    pruned = pruning.prune(SCORES, ONES, {"a": "1/3", "b": 0.0}, scope="layerwise")
    assert as_ints(pruned) == {"a": [1, 0, 1], "b": [[1, 1]]}


def test_equal_scores_go_in_index_order():
    scores = {"a": np.ones(3), "b": np.ones((1, 2))}
    assert as_ints(pruning.prune(scores, ONES, 0.4)) == {"a": [0, 0, 1], "b": [[1, 1]]}


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_pruned_positions_are_ignored_whatever_their_score(dtype):
    scores = {"w": np.array([np.nan, 1.0, 2.0, 0.0], dtype)}
    assert as_ints(pruning.prune(scores, {"w": np.array([0, 1, 1, 1])}, 0.34)) == {"w": [0, 1, 1, 0]}
    with pytest.raises(PruningError, match="'w' holds NaN"):
        pruning.prune(scores, {"w": np.array([1, 1, 1, 0])}, 0.34)


def test_masks_given_are_left_unchanged():
    pruning.prune(SCORES, ONES, 0.4)
    assert masks.kept(ONES) == 5


@pytest.mark.parametrize("kept", [0, 1, 5, 10, 25, 1000, 266_200, 25_500_000])
def test_the_count_is_exact_on_the_decimal_as_written(kept):
    # In binary, 0.1 * 5 and the like fall on the wrong side of a half.
    assert pruning.number_to_remove(kept, 0.2) == round(Fraction(2, 10) * kept)
    assert pruning.number_to_remove(kept, 0.35) == round(Fraction(35, 100) * kept)


def test_a_third_of_a_fraction_is_not_rounded_before_it_is_used():
    assert pruning.number_to_remove(3 * 10**20, Fraction(1, 3)) == 10**20


@pytest.mark.parametrize("fraction", [0.2, "0.2", Decimal("0.2"), Fraction(1, 5)])
def test_fractions_may_be_written_in_any_exact_way(fraction):
    assert pruning.exact(fraction) == Fraction(1, 5)


@pytest.mark.parametrize("fraction", [1, 1.0, -0.1, float("nan"), float("inf"), "x", None, True, "1/0", "1e-999999999"])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(PruningError, match=r"must be in \[0, 1\).*Received: fraction="):
        pruning.exact(fraction)


def test_a_percentage_is_answered_with_the_share():
    with pytest.raises(PruningError, match=r"For 25 percent write 0.25"):
        pruning.exact(25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scope": "local"}, r"`scope` must be one of global, layerwise. Received: scope='local'"),
        ({"fraction": {"a": 0.1}}, r'needs scope="layerwise"'),
        ({"fraction": {"a": 0.1}, "scope": "layerwise"}, r"exactly \['a', 'b'\]. Received: \['a'\]"),
        ({"masks": {"a": np.ones(3)}}, r"missing 'b'"),
        ({"scores": {**SCORES, "b": np.array([[1.0, np.nan]])}}, r"'b' holds NaN"),
    ],
)
def test_bad_input_says_what_was_expected(arguments, message):
    with pytest.raises(PruningError, match=message):
        pruning.prune(**{"scores": SCORES, "masks": ONES, "fraction": 0.2, **arguments})


# Few distinct scores, so that ties are common.
arrays = st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, np.inf]), min_size=1, max_size=12)
weights = st.lists(arrays, min_size=1, max_size=4).map(
    lambda lists: {f"w{position}": np.array(values) for position, values in enumerate(lists)}
)
fractions = st.decimals(0, "0.99", places=2)


def drawn_masks(scores, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.random(score.shape) < 0.7 for name, score in scores.items()}


def by_sorting(scores, masks_, fraction):
    """An independent way: sort all (score, index) pairs and strike out the first ones."""
    flat = np.concatenate([score.ravel() for score in scores.values()])
    alive = np.concatenate([mask.ravel() for mask in masks_.values()]).copy()
    ranked = sorted(np.flatnonzero(alive), key=lambda index: (flat[index], index))
    alive[ranked[: round(Fraction(fraction) * len(ranked))]] = False
    return alive.tolist()


def flatten(pruned):
    return np.concatenate([mask.ravel() for mask in pruned.values()]).tolist()


@settings(max_examples=300)
@given(weights, fractions, st.integers(0, 99))
def test_global_masks_equal_those_of_an_independent_implementation(scores, fraction, seed):
    before = drawn_masks(scores, seed)
    assert flatten(pruning.prune(scores, before, fraction)) == by_sorting(scores, before, fraction)


@settings(max_examples=300)
@given(weights, fractions, st.integers(0, 99))
def test_layerwise_masks_equal_those_of_an_independent_implementation(scores, fraction, seed):
    before = drawn_masks(scores, seed)
    pruned = pruning.prune(scores, before, fraction, scope="layerwise")
    for name, mask in pruned.items():
        assert mask.tolist() == by_sorting({name: scores[name]}, {name: before[name]}, fraction)


def by_stable_sort(score, mask, fraction):
    alive = np.flatnonzero(mask)
    ranked = alive[np.argsort(score.ravel()[alive], kind="stable")]
    expected = mask.copy()
    expected.flat[ranked[: pruning.number_to_remove(alive.size, fraction)]] = False
    return expected


@pytest.mark.parametrize("sample", [1, 100, 10_000, pruning._SAMPLE])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.01])
def test_many_weights_go_in_the_order_of_a_stable_sort(dtype, density, sample, monkeypatch):
    monkeypatch.setattr(pruning, "_SAMPLE", sample)
    rng = np.random.default_rng(0)
    score = np.round(200 * rng.normal(size=(3, 100_000))).astype(dtype).T  # about 500 scores, so ties; not contiguous
    mask = rng.random(score.shape) < density
    for fraction in (0.001, 0.2, 0.999):
        pruned = pruning.prune({"w": score}, {"w": mask}, fraction)["w"]
        assert np.array_equal(pruned, by_stable_sort(score, mask, fraction))


@pytest.mark.parametrize("seen", [-1.0, 2.0])
def test_a_sample_that_misleads_costs_time_alone(seen, monkeypatch):
    monkeypatch.setattr(pruning, "_SAMPLE", 1000)
    score, ones = np.random.default_rng(0).random(30_000), np.ones(30_000, bool)
    score[:: 30_000 // 1000 | 1] = seen  # all that is looked at
    assert np.array_equal(pruning.prune({"w": score}, {"w": ones}, 0.2)["w"], by_stable_sort(score, ones, 0.2))


def test_neighbouring_numbers_are_told_apart_and_zeros_of_either_sign_are_not():
    next_to_one = np.nextafter(np.float32(1), np.float32(2))
    assert as_ints(pruning.prune({"w": np.array([next_to_one, 1], np.float32)}, {"w": np.ones(2)}, 0.5)) == {
        "w": [1, 0]
    }
    assert as_ints(pruning.prune({"w": np.array([0.0, -0.0])}, {"w": np.ones(2)}, 0.5)) == {"w": [0, 1]}


def test_scores_of_two_precisions_are_compared_in_the_higher_one():
    scores = {"half": np.array([1.0, 3.0], np.float32), "full": np.array([1 - 1e-12, 1 + 1e-12])}
    ones = {name: np.ones(2) for name in scores}
    assert as_ints(pruning.prune(scores, ones, 0.25)) == {"half": [1, 1], "full": [0, 1]}
    assert as_ints(pruning.prune(scores, ones, 0.5)) == {"half": [0, 1], "full": [0, 1]}


@given(weights, st.lists(fractions, max_size=5), st.sampled_from(pruning.SCOPES))
def test_exact_counts_and_nested_masks_at_every_level(scores, levels, scope):
    current = {name: np.ones(score.shape, bool) for name, score in scores.items()}
    kept = (
        {name: score.size for name, score in scores.items()} if scope == "layerwise" else {"all": masks.kept(current)}
    )
    for fraction in levels:
        after = pruning.prune(scores, current, fraction, scope=scope)
        kept = {name: count - round(Fraction(fraction) * count) for name, count in kept.items()}
        assert masks.kept(after) == sum(kept.values())
        assert all(not (after[name] & ~current[name]).any() for name in after)
        current = after


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=4),
    st.integers(0, 99),
    st.integers(0, 99),
)
def test_a_floor_changes_where_weights_go_but_not_how_many(values, percent, floor_percent):
    scores = {str(i): np.array(row, float) for i, row in enumerate(values)}
    ones = masks.ones({name: score.shape for name, score in scores.items()})
    size, share = masks.kept(ones), Fraction(floor_percent, 100)
    floors = {name: math.ceil(share * score.size) for name, score in scores.items()}
    remove = pruning.number_to_remove(size, Fraction(percent, 100))
    if remove > size - sum(floors.values()):
        with pytest.raises(PruningError, match="to choose from"):
            pruning.prune(scores, ones, Fraction(percent, 100), min_density=share)
        return
    pruned = pruning.prune(scores, ones, Fraction(percent, 100), min_density=share)
    assert masks.kept(pruned) == size - remove
    assert all(np.count_nonzero(mask) >= floors[name] for name, mask in pruned.items())


def test_a_floor_protects_the_best_of_each_array():
    scores = {"small": np.array([0.2, 0.1]), "large": np.array([5.0, 6.0, 7.0, 8.0])}
    ones = masks.ones({"small": (2,), "large": (4,)})
    pruned = pruning.prune(scores, ones, 0.5, min_density=0.25)
    assert pruned["small"].tolist() == [True, False]
    assert pruned["large"].tolist() == [False, False, True, True]


def test_a_floor_that_protects_too_much_is_refused():
    with pytest.raises(ExhaustedError, match="remove 3 weights, but the minimum of each array leaves only 2 to choose"):
        pruning.prune({"w": np.arange(4.0)}, {"w": np.ones(4)}, 0.75, min_density=0.5)
    with pytest.raises(PruningError, match='`min_density` needs scope="global"'):
        pruning.prune({"w": np.arange(4.0)}, {"w": np.ones(4)}, 0.5, min_density=0.5, scope="layerwise")


def test_the_default_minimum_keeps_the_best_weight_of_an_array_and_the_count():
    scores = {"small": np.array([0.2, 0.1]), "large": np.array([5.0, 6.0, 7.0, 8.0])}
    ones = masks.ones({"small": (2,), "large": (4,)})
    assert as_ints(pruning.prune(scores, ones, "1/3")) == {"small": [0, 0], "large": [1, 1, 1, 1]}
    assert as_ints(pruning.prune(scores, ones, "1/3", min_density=None)) == {"small": [1, 0], "large": [0, 1, 1, 1]}


@settings(max_examples=300)
@given(weights, fractions, st.integers(0, 99))
def test_the_default_minimum_changes_no_bit_where_no_array_would_be_emptied(scores, fraction, seed):
    before = drawn_masks(scores, seed)
    plain = pruning.prune(scores, before, fraction)
    if any(before[name].any() and not plain[name].any() for name in plain):
        assume(masks.kept(plain) >= sum(mask.any() for mask in before.values()))
        pruned = pruning.prune(scores, before, fraction, min_density=None)
        assert all(pruned[name].any() for name, mask in before.items() if mask.any())
        assert masks.kept(pruned) == masks.kept(plain)
    else:
        assert as_ints(pruning.prune(scores, before, fraction, min_density=None)) == as_ints(plain)


def test_arrays_that_pruning_has_brought_to_a_single_weight_are_named_once():
    before = masks.ones({str(number): (2,) for number in range(8)})
    single = {name: np.array([True, False]) for name in before}
    assert pruning.report_minimum(before, before) == pruning.report_minimum(single, single) == ""
    assert "is left of '0', '1', '2', '3', '4' and of 3 others." in pruning.report_minimum(before, single)
    assert "is left of '7'." in pruning.report_minimum(single | {"7": before["7"]}, single)


@pytest.mark.parametrize(
    ("fraction_at", "levels", "message"),
    [
        (lambda level: 0.6, 10, "Level 2 would remove all of 'small'"),  # 2, 1, 0
        (lambda level: 0.6, 2, "Level 2 would remove all of 'small'"),
        (lambda level: {"big": 0.2, "small": 0.8}, 10, "Level 1 would remove all of 'small'"),
        (lambda level: 0 if level < 7 else 0.8, 7, "Level 7 would remove all of 'small'"),
        (lambda level: {"big": 0.2, "small": 0.2 if level < 3 else 2}, 3, r"must be in \[0, 1\)"),
        (lambda level: 0.2 if level < 3 else {"big": 0.2}, 3, r"exactly \['big', 'small'\]. Received: \['big'\]"),
    ],
)
def test_layerwise_levels_that_run_out_of_weights_are_found_by_their_counts(fraction_at, levels, message):
    ones = masks.ones({"big": (100,), "small": (2,)})
    with pytest.raises(PruningError, match=message):
        pruning.check_levels(ones, fraction_at, levels, scope="layerwise")
    pruning.check_levels(ones, fraction_at, 0, scope="layerwise")


def test_layerwise_levels_that_suffice_are_accepted():
    ones = masks.ones({"big": (100,), "small": (2,)})
    pruning.check_levels(ones, lambda level: 0.5, 100, scope="layerwise")  # half of 1 rounds to 0
    pruning.check_levels(ones, lambda level: 0.6, 1, scope="layerwise")
    half = {"big": ones["big"], "small": np.array([True, False])}
    with pytest.raises(ExhaustedError, match="Level 1 would remove all of 'small'"):
        pruning.check_levels(half, lambda level: 0.6, 1, scope="layerwise")
    pruning.check_levels(half | {"small": ~ones["small"]}, lambda level: 0.6, 1, scope="layerwise")  # empty already


@pytest.mark.parametrize(
    ("fraction_at", "min_density", "message"),
    [
        (lambda level: 0.6, None, "Level 4 would keep 2 weights, fewer than the 3 that"),  # 40, 16, 6, 2
        (lambda level: 0.6, 0, "Level 4 would keep 2 weights, fewer than the 3 that"),
        (lambda level: 0.6, 0.1, "Level 3 would keep 6 weights, fewer than the 11 that"),  # 7 + 3 + 1
        (lambda level: 0.2 if level < 3 else {"a": 0.2}, None, 'A fraction for each weight needs scope="layerwise"'),
        (lambda level: 0.2 if level < 3 else "much", None, r"must be in \[0, 1\)"),
    ],
)
def test_global_levels_that_run_out_of_weights_are_found_by_their_counts(fraction_at, min_density, message):
    ones = masks.ones({"a": (69,), "b": (15, 2), "c": (1,)})
    assert pruning.check_levels(ones, lambda level: 0.6, 2, scope="global", min_density=min_density) is None
    with pytest.raises(PruningError, match=message):
        pruning.check_levels(ones, fraction_at, 4, scope="global", min_density=min_density)


shares = st.one_of(st.none(), st.sampled_from([0.01, 0.1, 0.3, "1/3"]))


@settings(max_examples=500)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.one_of(fractions, st.lists(fractions, min_size=4, max_size=4)), max_size=5),
    st.sampled_from(pruning.SCOPES),
    shares,
    st.integers(0, 99),
)
def test_what_the_check_at_the_start_accepts_never_runs_out_of_weights(sizes, levels, scope, min_density, seed):
    rng = np.random.default_rng(seed)
    current = {str(number): rng.random(size) < 0.8 for number, size in enumerate(sizes)}
    min_density = min_density if scope == "global" else None

    def fraction_at(level):
        one, each = levels[level - 1], scope == "layerwise"
        return one if not isinstance(one, list) else dict(zip(current, one, strict=False)) if each else one[0]

    try:
        pruning.check_levels(current, fraction_at, len(levels), scope=scope, min_density=min_density)
        accepted = len(levels)
    except ExhaustedError as error:
        accepted = int(str(error).split()[1]) - 1  # the levels before are possible, this one is not
    for level in range(1, len(levels) + 1):
        scores = {name: rng.integers(-2, 3, mask.shape).astype(float) for name, mask in current.items()}
        settings_ = {"fraction": fraction_at(level), "scope": scope, "rng": None, "min_density": min_density}
        if level > accepted:
            with pytest.raises(ExhaustedError):
                next_masks(scores, scores, current, criterion=as_they_are, **settings_)
            break
        current = next_masks(scores, scores, current, criterion=as_they_are, **settings_)


def as_they_are(initial, trained, rng):
    return trained


INITIAL = {"a": np.array([1.0, 1.0]), "b": np.array([1.0, 1.0]), "bias": np.array([0.0])}
TRAINED = {"a": np.array([4.0, -1.0]), "b": np.array([2.0, -3.0]), "bias": np.array([9.0])}
FULL = {"a": np.ones(2, bool), "b": np.ones(2, bool)}


def after(trained=TRAINED, masks=FULL, **changes):
    settings = {"criterion": "magnitude", "fraction": 0.25, "scope": "global", "rng": np.random.default_rng(0)}
    return next_masks(INITIAL, trained, masks, **settings | changes)


def test_only_what_has_a_mask_is_scored_and_pruned():
    assert {name: mask.tolist() for name, mask in after().items()} == {"a": [True, False], "b": [True, True]}


def test_a_function_may_be_the_criterion():
    def increase(initial, trained, rng):
        assert set(initial) == set(trained) == {"a", "b"}
        return {name: weight - initial[name] for name, weight in trained.items()}

    assert {name: mask.tolist() for name, mask in after(criterion=increase).items()} == {"a": [1, 1], "b": [1, 0]}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_named(value):
    with pytest.raises(PruningError, match="'b' holds NaN or infinite weights: training diverged"):
        after({**TRAINED, "b": np.array([1.0, value])})


@pytest.mark.parametrize("scores", [{"a": np.ones(2)}, {"a": np.ones(2), "b": np.ones(3)}])
def test_scores_that_do_not_fit_are_named(scores):
    with pytest.raises(
        PruningError, match=r"must return scores for exactly \['a', 'b'\], each in the shape of the weight. Wrong: b"
    ):
        after(criterion=lambda initial, trained, rng: scores)


def test_a_layer_is_never_left_empty():
    weights = TRAINED | {"b": np.array([0.1, 0.2])}
    assert as_ints(after(weights, fraction=0.5)) == {"a": [1, 0], "b": [0, 1]}
    with pytest.raises(ExhaustedError, match="would remove all of 'b'"):
        after(weights, fraction=0.5, min_density=0)


def test_a_layer_that_is_empty_already_stays_so():
    empty = FULL | {"b": np.zeros(2, bool)}
    for min_density in (None, 0, 0.5):
        pruned = after(masks=empty, fraction=0.5, min_density=min_density)
        assert as_ints(pruned) == {"a": [1, 0], "b": [0, 0]}
    assert as_ints(after(masks=empty, fraction=0.5, scope="layerwise")) == {"a": [1, 0], "b": [0, 0]}


def test_an_unknown_criterion_lists_the_known_ones():
    with pytest.raises(PruningError, match=r"must be one of magnitude, small_final, .*, or a function"):
        criterion_named("l1")


def test_weights_that_are_pruned_stay_so_whatever_their_score_where_a_sample_finds_the_cut(monkeypatch):
    monkeypatch.setattr(pruning, "_SAMPLE", 1000)
    score, mask = np.random.default_rng(0).normal(size=30_000), np.ones(30_000, bool)
    score[:20], mask[:20] = 100.0, False  # few: if they came back, the counts would not give it away
    remove = pruning.number_to_remove(29_980, 0.5)
    assert pruning._bracket({"w": score}, {"w": mask}, remove) is not None
    assert np.array_equal(pruning.prune({"w": score}, {"w": mask}, 0.5)["w"], by_stable_sort(score, mask, 0.5))
