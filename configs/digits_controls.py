"""LeNet-300-100 on handwritten digits from the initialisation: all controls, and how stable tickets are.

The experiment of configs/digits_lenet.py with the treatments of Zhou et al. 2019 (arXiv 1905.01067) beside random mask
and reinit, and with the stability of level 10 (11.2% of the weights; the paper measures it at 10.7%, on MNIST).

Command: python scripts/find_tickets.py --config=configs/digits_controls.py --run_dir=runs/digits_controls
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
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
        controls=(
            *("random_mask", "reinit", "reinit_signs"),
            *("reshuffle", "reshuffle_signs", "constant", "constant_signs"),
        ),
        stability=Stability(levels=(10,), orders=2),
    )
