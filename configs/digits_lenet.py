"""LeNet-300-100 on scikit-learn's handwritten digits: winning tickets in a minute; `bash scripts/demo.sh` runs it.

The hyperparameters of the original paper (Frankle & Carbin 2019: Adam 1.2e-3, batch 60, layerwise 20%, output layer
10%, k = 0); 200 training, 600 validation and 997 test images. The sizes of the splits and the number of steps were
chosen by looking at validation figures.

Command: python scripts/find_tickets.py --config=configs/digits_lenet.py --run_dir=runs/digits_lenet

93 training runs of 1,500 steps: 40 to 60 seconds on 2 cores.

Seen with 3 replicates, mean [min-max], test accuracy in percent at the step of the lowest validation loss:

    density  ticket               random mask          reinit               early-stop step: ticket, random mask, reinit
    100.0%   93.81 [93.58-94.08]                                              200
     51.6%   94.15 [93.98-94.38]  93.65 [93.28-93.98]  93.18 [93.08-93.38]    200    300    233
     21.5%   94.25 [93.78-94.48]  93.51 [93.48-93.58]  94.32 [93.88-94.68]    200    433    400
     11.2%   94.25 [93.68-94.88]  92.85 [92.58-93.18]  93.18 [91.98-94.08]    300    700    500

Levels 2 to 7 (64.3% to 21.5%) are winning tickets in every replicate. From 13.9% on they learn later than the dense
network (300 steps against 200, evaluated every 100), so they are not winning tickets, however accurate. The test set is
small: one image is 0.1 percent.
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
        ),
        prune=Prune(levels=10, fraction=0.2, rates=("^output/=0.1",), scope="layerwise", rewind_to="0it"),
    )
