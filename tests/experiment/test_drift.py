from tf_lottery.experiment import drift

FIRST = {"python": "3.12", "packages": {"numpy": "2.0", "keras": "3.15"}, "devices": ["CPU"]}
SECOND = {"python": "3.12", "packages": {"numpy": "2.1", "keras": "3.15"}, "devices": ["CPU", "GPU A100"]}
THIRD = {**FIRST, "switches": {"XLA_FLAGS": "--fast"}}


def test_equal_environments_do_not_differ():
    assert drift.differences([]) == drift.differences([FIRST]) == drift.differences([FIRST, {**FIRST}]) == {}


def test_only_fields_that_differ_are_named_with_every_value():
    assert drift.differences([FIRST, SECOND]) == {
        "packages.numpy": ["2.0", "2.1"],
        "devices": [["CPU"], ["CPU", "GPU A100"]],
    }


def test_a_field_that_is_new_or_gone_differs():
    assert drift.differences([FIRST, THIRD]) == {"switches.XLA_FLAGS": ["not set", "--fast"]}
    assert drift.differences([THIRD, FIRST, THIRD]) == {"switches.XLA_FLAGS": ["--fast", "not set", "--fast"]}


def test_the_order_of_fields_is_no_difference():
    assert drift.differences([FIRST, dict(reversed(FIRST.items()))]) == {}
