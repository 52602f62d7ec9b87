"""Where iterative pruning from the initialisation fails, rewinding to step 60 rescues it: a small ResNet on MNIST-1D.

8 layers, 8 channels, 6,168 weights that are pruned, all together; the 1x1 shortcuts and the output are not. SGD with
momentum 0.9 and a rate of 0.6, / 10 after half and three quarters of the steps, L2 of 1e-4; 3,500 training, 500
validation and the 1,000 canonical test signals. Each level has a fresh data order and starts with fresh momentum. Rate
and k follow an exploration on other test signals. By validation alone (configs/mnist1d_rates.py) this network learns as
well at any rate from 0.05 to 0.8, within the spread of 3 replicates.

Command: python scripts/find_tickets.py --config=configs/mnist1d_rewinding.py --run_dir=runs/mnist1d_rewinding

155 training runs of up to 1,550 steps: 8 minutes on 2 cores. With --config.replicates=3 they are 93: 4 minutes.

Seen at 13.4% of the weights with 5 replicates, mean [min-max], test accuracy in percent at the end of training; the
angle between two data orders in degrees and the error barrier between them in percentage points, of tickets and, in
brackets, of random masks:

             ticket               random mask          reinit               angle        barrier
    k=0      95.92 [94.70-97.00]  96.00 [94.40-96.80]  96.00 [95.30-96.60]  76.0 (82.7)  44.61 (58.00)
    k=60     97.84 [97.30-98.50]  95.66 [94.50-96.40]  95.88 [93.80-96.70]  25.5 (59.4)  0.43 (32.95)
    dense    98.00 [97.40-98.70]

Shown (paired over replicates): the ticket of k=60 is more accurate than that of k=0, by 1.92 points, than random masks
and than reinitialised tickets; it is more stable than random masks to data order and to pruning; its barrier is below 2
points. Contradicted: the ticket of k=0 is as accurate as the dense network. Not shown: that the ticket of k=60 is,
within 0.2 points (-0.16).
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
        model=Model("resnet_8_w8_1d"),
        data=Data("mnist1d"),
        train=Train(
            optimizer="sgd",
            momentum=0.9,
            learning_rate=0.6,
            drops=("775it", "1162it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="1550it",
            evaluate_every="155it",
        ),
        prune=Prune(levels=3, fraction=0.488, reset_optimizer=True, exclude=("shortcut", "^output/")),
        controls=("random_mask", "reinit"),
        shuffle="fresh",
        stability=Stability(levels=(3,), shuffle_seeds=2),
        variants={"k=0": {"prune.rewind_to": "0it"}, "k=60": {"prune.rewind_to": "60it"}},
    )
