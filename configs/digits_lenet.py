"""LeNet-300-100 on scikit-learn's handwritten digits: winning tickets in a minute. What `bash scripts/demo.sh` runs.

Command: python scripts/find_tickets.py --config=configs/digits_lenet.py --run_dir=runs/digits_lenet
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=3,
        model=Model("lenet_300_100"),
        data=Data("digits"),
        train=Train(
            optimizer="adam",
            learning_rate=1.2e-3,
            batch_size=60,
            steps="1500it",
            evaluate_every="100it",
            jit_compile=True,
        ),
        prune=Prune(levels=10, fraction=0.2, rates=("^output/=0.1",), scope="layerwise", rewind_to="0it"),
    )
