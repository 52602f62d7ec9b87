"""Which learning rate the small ResNet learns 14x14 Fashion-MNIST best with, by validation: for fashion14_rewinding.py.

Commands: python scripts/prepare_data.py fashion_mnist_14   (once)
          python scripts/find_tickets.py --config=configs/fashion14_rates.py --run_dir=runs/fashion14_rates
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        seed=100,  # other networks than those of the experiment that it is for
        replicates=3,
        model=Model("resnet_8_w4"),
        data=Data("fashion_mnist_14"),
        train=Train(
            optimizer="sgd",
            drops=("1170it", "1755it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="2340it",
            evaluate_every="156it",
        ),
        prune=Prune(levels=0),
        variants=tuple(f"rate={rate}: train.learning_rate={rate}" for rate in (0.03, 0.1, 0.2, 0.4, 0.8)),
    )
