from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        model=Model("lenet_300_100"),
        data=Data("digits"),
        train=Train(optimizer="adam", learning_rate=1.2e-3, batch_size=60, steps="2000it", evaluate_every="20it", jit_compile=True),
        prune=Prune(levels=10, fraction=0.2, rates=("^output/=0.1",), scope="layerwise"),
    )
