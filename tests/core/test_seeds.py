from tf_lottery.core.seeds import derive


def test_seeds_are_fixed_for_ever():
    assert derive(0, "replicate", 1, "data_order") == 802519024


def test_purposes_replicates_and_seeds_are_told_apart():
    paths = [(0, "a"), (0, "b"), (1, "a"), (0, "replicate", 1, "a"), (0, "replicate", 11), (0, "replicate", 1, 1)]
    assert len({derive(*path) for path in paths}) == len(paths)
