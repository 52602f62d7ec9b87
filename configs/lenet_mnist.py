"""LeNet-300-100 on MNIST: winning tickets at step 0, without rewinding.

The row "LeNet" of the paper (arXiv 1903.01611, Fig. 2); what it leaves out is from Frankle & Carbin (2019, Fig. 2):

    55,000 training and 5,000 validation images          50,000 steps of 60
    Adam, rate 1.2e-3, neither drops nor warmup          dense accuracy 98.0 percent
    Gaussian Glorot initialisation                       layerwise pruning of 20% a level, the output layer 10%

The claim: tickets beat the dense network and learn faster down to 21.1% of the weights (level 7), are most accurate at
13.5% (level 9) and as accurate as the dense network at 3.6% (level 15); random and reinitialised subnetworks are not.
At level 10 (10.8%; it prints 10.7%), where the paper measures stability, tickets have 98.3 percent, random subnetworks
97.5.

Commands: python scripts/prepare_data.py mnist  (once)
          python scripts/find_tickets.py --config=configs/lenet_mnist.py --run_dir=runs/lenet_mnist

Needs one CPU core; 138 training runs (3 replicates, 15 levels, 2 controls), side by side on all cores. It is too
small to gain from more devices, but --strategy=mirrored, --strategy=multi_worker (with the variable TF_CONFIG) and
--strategy=tpu work as everywhere.

Tested only with --smoke (noise instead of images, a few steps).
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=3,
        model=Model("lenet_300_100"),
        data=Data("mnist"),
        train=Train(
            optimizer="adam",
            learning_rate=1.2e-3,
            batch_size=60,
            steps="50000it",
            evaluate_every="100it",
        ),
        prune=Prune(levels=15, fraction=0.2, rates=("^output/=0.1",), scope="layerwise", rewind_to="0it"),
    )
