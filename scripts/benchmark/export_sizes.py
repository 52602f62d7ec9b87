"""Measures how large the papers' networks are as sparse SavedModels: python scripts/benchmark/export_sizes.py

The networks have random weights and masks; a size is that of the whole directory. The claim, at any density: at most
1.05 times the bound, plus 20 KB, plus 4 KB for each layer. The bound is n (32 d + H(d)) bits for n prunable weights of
which a share d is kept, with H the binary entropy, and all other variables as they are
(tests/export/test_sparse_saved_model.py checks it). docs/export.md has the table that this prints.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from absl import flags

from tf_lottery import cli, quiet
from tf_lottery.report import terminal

_DENSITIES = flags.DEFINE_list("densities", ["0.1"], "The shares of the prunable weights to keep.")
NETWORKS = {
    "lenet_300_100": ((28, 28, 1), 10),
    "resnet_20": ((32, 32, 3), 10),
    "vgg_19": ((32, 32, 3), 10),
    "resnet_50": ((224, 224, 3), 1000),
}


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet.stderr():
        import tensorflow as tf

        import tf_lottery as tfl
        from tf_lottery import models
        from tf_lottery.export import comparison

    rows = []
    for name, (shape, classes) in NETWORKS.items():
        model = tfl.make_prunable(models.build(name, shape, classes))
        for density in map(float, _DENSITIES.value):
            rng = np.random.default_rng(0)
            masks = {
                name: rng.permutation(mask.size).reshape(mask.shape) for name, mask in tfl.get_masks(model).items()
            }
            tfl.set_masks(model, {name: order < round(density * order.size) for name, order in masks.items()})
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model")
                started = time.perf_counter()
                tfl.export.saved_model(model, path)
                saved = time.perf_counter()
                tf.saved_model.load(path)
                loaded = time.perf_counter()
                size = comparison.size(path)
            weights = tfl.export.costs(model).parameters
            rows.append(
                {
                    "network": name,
                    "density": f"{density:.0%}",
                    "values of float32": f"{4 * weights:,}",
                    "bytes": f"{size:,}",
                    "share": f"{size / (4 * weights):.1%}",
                    "seconds to write": f"{saved - started:.1f}",
                    "to load": f"{loaded - saved:.1f}",
                }
            )
    terminal.show_table(pd.DataFrame(rows), "Sparse SavedModels")


if __name__ == "__main__":
    cli.run(main)
