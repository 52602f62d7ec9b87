"""Inception-v3 on ImageNet, pruned once: 30% of the weights, rewound to epoch 6, learn as well as all.

The row "Inception-v3" of the paper (arXiv 1903.01611, Fig. 6); what it leaves out is from the model that it trained
(tensorflow/tpu, models/experimental/inception, with TF-Slim's network; 27.1M parameters):

    random crops of 299 x 299, flipped                   171 epochs of 1,024 images a step
    RMSprop, decay and momentum 0.9, epsilon 1.0         rate 0.66, * 0.94 every 3 epochs, not below 6.6e-5
    L2 of 4e-5, label smoothing 0.1                      dense accuracy 78.1 percent
    auxiliary head with weight 0.4                       averages of the weights (0.995) in evaluations
    one pruning of 70%                                   rewinding to epoch 6 (3.5%)

The claim: with 70% of the weights pruned at once and the others rewound to epoch 6, the network reaches the accuracy
of the dense one; rewound to step 0 (--config.prune.rewind_to=0it) or reinitialised it does not.

The paper seems to have SqueezeNet's optimizer in this row and this one in SqueezeNet's; the reference has them as
here. All kernels are pruned together but those of the auxiliary head (3.3M weights), of which the paper says nothing:
the head is removed after training, so its weights do not count in the density. The reference
trains in float32 by default, and distorts the colours too. 10,000 of the training images are held out for validation,
which the paper does not say of its own.

Commands: python scripts/prepare_data.py imagenet2012   (once; it says which archives it needs)
          python scripts/find_tickets.py --config=configs/inception_v3_oneshot.py --run_dir=runs/inception_v3_oneshot

Needs 8 GPUs or a TPU of 8 cores, as the reference; 1,024 is the batch of all devices together. 15 training runs (5
replicates of the dense network, the ticket and a reinitialised one). --strategy=mirrored uses all GPUs of a machine;
--strategy=multi_worker several machines, each running this command with the variable TF_CONFIG, which names them all
and this one; --strategy=tpu a TPU. A run can be killed at any moment; the same command resumes it.

Tested only with --smoke (noise instead of images, a few steps).
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
        model=Model("inception_v3"),
        data=Data("imagenet2012", augment="inception", image_size=299),
        train=Train(
            optimizer="rmsprop",
            learning_rate=0.66,  # 0.165 for every 256 images of a step
            momentum=0.9,
            epsilon=1.0,
            drops=("every 3ep",),
            drop_factor=0.94,
            final_learning_rate=6.6e-5,
            weight_decay=4e-5,
            label_smoothing=0.1,
            auxiliary_weight=0.4,
            average=0.995,
            precision="float32",
            batch_size=1024,
            steps="171ep",
            evaluate_every="1ep",
            threads=16,  # to decode images
        ),
        prune=Prune(levels=1, fraction=0.7, scope="global", exclude=("^auxiliary_",), rewind_to="6ep"),
        controls=("reinit",),
    )
