import pandas as pd
import pytest

from tf_lottery.report.figures import of_masks


def test_overlap_is_drawn_beside_chance():
    rows = pd.DataFrame(
        {
            "kind": "replicates",
            "variant": ["a", "a", "a", "a", "b", "b"],
            "level": [1, 1, 2, 2, 1, 2],
            "density": [0.5, 0.5, 0.25, 0.25, 0.5, 0.25],
            "overlap": [0.4, 0.6, 0.2, 0.3, 0.7, 0.8],
            "chance": [0.3, 0.3, 0.1, 0.1, 0.3, 0.1],
        }
    )
    (axis,) = of_masks.overlap(rows, rows.variant, "Overlap").axes
    found = {line.get_label(): line for line in axis.get_lines()}
    assert list(found) == ["a", "b", "chance"]
    assert found["a"].get_xdata().tolist() == [50, 25]
    assert found["a"].get_ydata().tolist() == pytest.approx([0.5, 0.25])
    assert found["chance"].get_ydata().tolist() == pytest.approx([0.3, 0.1])
    assert axis.collections[0].get_paths()[0].vertices[:, 1].min() == pytest.approx(0.2)
