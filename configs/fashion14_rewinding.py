"""From which step on iterative pruning finds tickets, and how stable they are: a small ResNet on 14x14 Fashion-MNIST.

Commands: python scripts/prepare_data.py fashion_mnist_14   (once)
          python scripts/find_tickets.py --config=configs/fashion14_rewinding.py --run_dir=runs/fashion14_rewinding
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train

_RANDOM_MASK = "controls=('random_mask',)"  # a reinitialised network knows no k


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
        model=Model("resnet_8_w4"),
        data=Data("fashion_mnist_14"),
        train=Train(
            optimizer="sgd",
            learning_rate=0.2,  # the best by validation: configs/fashion14_rates.py
            drops=("1170it", "1755it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="2340it",
            evaluate_every="156it",
        ),
        prune=Prune(levels=3, fraction=0.488, exclude=("shortcut", "^output/"), reset_optimizer=True),
        controls=("random_mask", "reinit"),
        data_order="fresh",
        stability=Stability(levels=(3,), orders=2),
        variants=(
            "k=0:",
            f"k=24: prune.rewind_to=24it; {_RANDOM_MASK}",
            "k=60: prune.rewind_to=60it",
            f"k=120: prune.rewind_to=120it; {_RANDOM_MASK}",
            f"k=234: prune.rewind_to=234it; {_RANDOM_MASK}",
            f"k=1170: prune.rewind_to=1170it; {_RANDOM_MASK}",
            "k=T: prune.rewind_to=2340it; controls=()",
        ),
    )
