"""LeNet-300-100 on handwritten digits, pruned from the initialisation: all controls, and the stability of tickets.

The experiment of configs/digits_lenet.py with the controls of Zhou et al. 2019 (arXiv 1905.01067) besides random mask
and reinit, and with the stability of level 10 (11.2% of the weights; the paper measures it at 10.7%, on MNIST).

Command: python scripts/find_tickets.py --config=configs/digits_controls.py --run_dir=runs/digits_controls

435 training runs of 1,500 steps: 2 minutes on 2 cores.

Seen at 11.2% with 5 replicates, mean [min-max], test accuracy in percent at the step of the lowest validation loss:

                           test accuracy        early-stop step
    ticket                 94.26 [93.68-94.88]  300 [300-300]
    random mask            92.98 [92.58-93.48]  700 [600-800]
    reinit                 93.36 [91.98-94.08]  520 [500-600]
    reinit, signs kept     94.24 [93.78-94.78]  340 [300-400]
    reshuffle              93.92 [93.38-94.28]  500 [500-500]
    reshuffle, signs kept  94.36 [93.98-94.68]  300 [300-300]
    constant               93.46 [92.88-94.78]  500 [500-500]
    constant, signs kept   94.26 [93.88-94.68]  300 [300-300]

Controls that keep the signs of the initialisation learn as fast as the ticket, whatever their weights are; the others
need at least half again as many steps. Shown (paired over replicates, at the end of training): the ticket
is no less accurate than the dense network and more accurate than random masks; not shown: than any other control. It is
more stable than random masks, to data order (2.1 degrees against 17.0) and to pruning (19.6 against 61.2).
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
        ),
        prune=Prune(levels=10, fraction=0.2, rates=("^output/=0.1",), scope="layerwise", rewind_to="0it"),
        controls=(
            *("random_mask", "reinit", "reinit_signs"),
            *("reshuffle", "reshuffle_signs", "constant", "constant_signs"),
        ),
        stability=Stability(levels=(10,), shuffle_seeds=2),
    )
