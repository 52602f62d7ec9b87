"""Models that generate, with training steps and losses of their own, in the style of Keras' code examples."""

import re

import numpy as np
import tensorflow as tf
from strangers.journey import Stranger

from tf_lottery.keras_compat import LEGACY, keras

layers = keras.layers
IMAGES = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
NOISE = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)


def normal(shape, seed_generator):
    """Draw as the examples of each Keras do: from a seed generator, or from TensorFlow's global state."""
    return tf.random.normal(shape) if LEGACY else keras.random.normal(shape, seed=seed_generator)


def new_seed_generator(seed=1337):
    return None if LEGACY else keras.random.SeedGenerator(seed)


class Autoencoder(keras.Model):
    """An encoder and a decoder that a model of its own class calls."""

    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = keras.Sequential([layers.Flatten(), layers.Dense(latent_dim, activation="relu")])
        self.decoder = keras.Sequential([layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))])

    def call(self, x):
        return self.decoder(self.encoder(x))


def autoencoder():
    model = Autoencoder(12)
    model(IMAGES[:1])
    return model


def denoising_autoencoder():
    image = layers.Input(shape=(8, 8, 1))
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(image)
    x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(x)
    x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same")(x)
    x = layers.Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same")(x)
    return keras.Model(image, layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x))


class Sampling(layers.Layer):
    """Uses (z_mean, z_log_var) to sample z."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = new_seed_generator()

    def call(self, inputs):
        z_mean, z_log_var = inputs
        epsilon = normal(tf.shape(z_mean), self.seed_generator)
        return z_mean + tf.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    """No `call`."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

    @property
    def metrics(self):
        return [self.total_loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            reconstruction = self.decoder(z)
            reconstruction_loss = tf.reduce_mean(
                tf.reduce_sum(keras.losses.binary_crossentropy(data, reconstruction), axis=(1, 2))
            )
            kl_loss = -0.5 * (1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var))
            kl_loss = tf.reduce_mean(tf.reduce_sum(kl_loss, axis=1))
            total_loss = reconstruction_loss + kl_loss
        grads = tape.gradient(total_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        self.total_loss_tracker.update_state(total_loss)
        self.reconstruction_loss_tracker.update_state(reconstruction_loss)
        self.kl_loss_tracker.update_state(kl_loss)
        return {
            "loss": self.total_loss_tracker.result(),
            "reconstruction_loss": self.reconstruction_loss_tracker.result(),
            "kl_loss": self.kl_loss_tracker.result(),
        }


def vae():
    encoder_inputs = keras.Input(shape=(8, 8, 1))
    x = layers.Conv2D(6, 3, activation="relu", strides=2, padding="same")(encoder_inputs)
    x = layers.Flatten()(x)
    x = layers.Dense(8, activation="relu")(x)
    z_mean = layers.Dense(6, name="z_mean")(x)
    z_log_var = layers.Dense(6, name="z_log_var")(x)
    z = Sampling()([z_mean, z_log_var])
    encoder = keras.Model(encoder_inputs, [z_mean, z_log_var, z], name="encoder")
    latent_inputs = keras.Input(shape=(6,))
    x = layers.Dense(4 * 4 * 4, activation="relu")(latent_inputs)
    x = layers.Reshape((4, 4, 4))(x)
    x = layers.Conv2DTranspose(6, 3, activation="relu", strides=2, padding="same")(x)
    decoder_outputs = layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x)
    return VAE(encoder, keras.Model(latent_inputs, decoder_outputs, name="decoder"))


def discriminator_and_generator():
    discriminator = keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1)),
            layers.Conv2D(6, kernel_size=4, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="discriminator",
    )
    generator = keras.Sequential(
        [
            keras.Input(shape=(6,)),
            layers.Dense(4 * 4 * 6),
            layers.Reshape((4, 4, 6)),
            layers.Conv2DTranspose(6, kernel_size=4, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Conv2D(1, kernel_size=5, padding="same", activation="sigmoid"),
        ],
        name="generator",
    )
    return discriminator, generator


class GAN(keras.Model):
    """No `call`, two optimizers, and metrics that `compile` makes."""

    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
        self.seed_generator = new_seed_generator()

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn
        self.d_loss_metric = keras.metrics.Mean(name="d_loss")
        self.g_loss_metric = keras.metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        return [self.d_loss_metric, self.g_loss_metric]

    def train_step(self, real_images):
        batch_size = tf.shape(real_images)[0]
        random_latent_vectors = normal((batch_size, self.latent_dim), self.seed_generator)
        generated_images = self.generator(random_latent_vectors)
        combined_images = tf.concat([generated_images, real_images], axis=0)
        labels = tf.concat([tf.ones((batch_size, 1)), tf.zeros((batch_size, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(combined_images))
        grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
        self.d_optimizer.apply_gradients(zip(grads, self.discriminator.trainable_weights, strict=True))
        random_latent_vectors = normal((batch_size, self.latent_dim), self.seed_generator)
        misleading_labels = tf.zeros((batch_size, 1))
        with tf.GradientTape() as tape:
            g_loss = self.loss_fn(misleading_labels, self.discriminator(self.generator(random_latent_vectors)))
        grads = tape.gradient(g_loss, self.generator.trainable_weights)
        self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights, strict=True))
        self.d_loss_metric.update_state(d_loss)
        self.g_loss_metric.update_state(g_loss)
        return {"d_loss": self.d_loss_metric.result(), "g_loss": self.g_loss_metric.result()}


def compile_gan(model):
    model.compile(
        d_optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        g_optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss_fn=keras.losses.BinaryCrossentropy(),
    )


class WGAN(keras.Model):
    """No `call`, two optimizers, no metrics; a gradient of a gradient; two steps of one part for one of the other."""

    def __init__(self, discriminator, generator, latent_dim, discriminator_extra_steps=2, gp_weight=10.0):
        super().__init__()
        self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
        self.d_steps, self.gp_weight = discriminator_extra_steps, gp_weight
        self.seed_generator = new_seed_generator()

    def compile(self, d_optimizer, g_optimizer, d_loss_fn, g_loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.d_loss_fn, self.g_loss_fn = d_loss_fn, g_loss_fn

    def gradient_penalty(self, batch_size, real_images, fake_images):
        alpha = normal((batch_size, 1, 1, 1), self.seed_generator)
        interpolated = real_images + alpha * (fake_images - real_images)
        with tf.GradientTape() as gp_tape:
            gp_tape.watch(interpolated)
            pred = self.discriminator(interpolated, training=True)
        grads = gp_tape.gradient(pred, [interpolated])[0]
        norm = tf.sqrt(tf.reduce_sum(tf.square(grads), axis=[1, 2, 3]) + 1e-12)
        return tf.reduce_mean((norm - 1.0) ** 2)

    def train_step(self, real_images):
        batch_size = tf.shape(real_images)[0]
        for _ in range(self.d_steps):
            random_latent_vectors = normal((batch_size, self.latent_dim), self.seed_generator)
            with tf.GradientTape() as tape:
                fake_images = self.generator(random_latent_vectors, training=True)
                fake_logits = self.discriminator(fake_images, training=True)
                real_logits = self.discriminator(real_images, training=True)
                d_cost = self.d_loss_fn(real_img=real_logits, fake_img=fake_logits)
                gp = self.gradient_penalty(batch_size, real_images, fake_images)
                d_loss = d_cost + gp * self.gp_weight
            d_gradient = tape.gradient(d_loss, self.discriminator.trainable_variables)
            self.d_optimizer.apply_gradients(zip(d_gradient, self.discriminator.trainable_variables, strict=True))
        random_latent_vectors = normal((batch_size, self.latent_dim), self.seed_generator)
        with tf.GradientTape() as tape:
            generated_images = self.generator(random_latent_vectors, training=True)
            g_loss = self.g_loss_fn(self.discriminator(generated_images, training=True))
        gen_gradient = tape.gradient(g_loss, self.generator.trainable_variables)
        self.g_optimizer.apply_gradients(zip(gen_gradient, self.generator.trainable_variables, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}


def compile_wgan(model):
    model.compile(
        d_optimizer=keras.optimizers.Adam(learning_rate=0.002, beta_1=0.5, beta_2=0.9),
        g_optimizer=keras.optimizers.Adam(learning_rate=0.002, beta_1=0.5, beta_2=0.9),
        d_loss_fn=lambda real_img, fake_img: tf.reduce_mean(fake_img) - tf.reduce_mean(real_img),
        g_loss_fn=lambda fake_img: -tf.reduce_mean(fake_img),
    )


class VectorQuantizer(layers.Layer):
    """A codebook that no library knows: a trained matrix of a stranger's layer, made in its constructor."""

    def __init__(self, num_embeddings, embedding_dim, beta=0.25, **kwargs):
        super().__init__(**kwargs)
        self.embedding_dim, self.num_embeddings, self.beta = embedding_dim, num_embeddings, beta
        self.embeddings = self.add_weight(
            shape=(self.embedding_dim, self.num_embeddings),
            initializer="random_uniform",
            trainable=True,
            name="embeddings_vqvae",
        )

    def call(self, x):
        flattened = tf.reshape(x, [-1, self.embedding_dim])
        encodings = tf.one_hot(self.get_code_indices(flattened), self.num_embeddings)
        quantized = tf.reshape(tf.matmul(encodings, self.embeddings, transpose_b=True), tf.shape(x))
        commitment_loss = tf.reduce_mean((tf.stop_gradient(quantized) - x) ** 2)
        codebook_loss = tf.reduce_mean((quantized - tf.stop_gradient(x)) ** 2)
        self.add_loss(self.beta * commitment_loss + codebook_loss)
        return x + tf.stop_gradient(quantized - x)  # straight-through estimator

    def compute_output_shape(self, shape):
        return shape

    def get_code_indices(self, flattened_inputs):
        similarity = tf.matmul(flattened_inputs, self.embeddings)
        distances = (
            tf.reduce_sum(flattened_inputs**2, axis=1, keepdims=True)
            + tf.reduce_sum(tf.square(self.embeddings), axis=0)
            - 2 * similarity
        )
        return tf.argmin(distances, axis=1)


class VQVAETrainer(keras.Model):
    """Builds its model inside, and has no `call`; the layer's losses are added in the training step."""

    def __init__(self, train_variance, latent_dim=4, num_embeddings=6, **kwargs):
        super().__init__(**kwargs)
        self.train_variance = train_variance
        inputs = keras.Input(shape=(8, 8, 1))
        x = layers.Conv2D(6, 3, activation="relu", strides=2, padding="same")(inputs)
        encoder = keras.Model(inputs, layers.Conv2D(latent_dim, 1, padding="same")(x), name="encoder")
        latent_inputs = keras.Input(shape=encoder.output.shape[1:])
        x = layers.Conv2DTranspose(6, 3, activation="relu", strides=2, padding="same")(latent_inputs)
        decoder = keras.Model(latent_inputs, layers.Conv2DTranspose(1, 3, padding="same")(x), name="decoder")
        vq_layer = VectorQuantizer(num_embeddings, latent_dim, name="vector_quantizer")
        image = keras.Input(shape=(8, 8, 1))
        self.vqvae = keras.Model(image, decoder(vq_layer(encoder(image))), name="vq_vae")
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")

    @property
    def metrics(self):
        return [self.total_loss_tracker]

    def train_step(self, x):
        with tf.GradientTape() as tape:
            reconstructions = self.vqvae(x)
            reconstruction_loss = tf.reduce_mean((x - reconstructions) ** 2) / self.train_variance
            total_loss = reconstruction_loss + sum(self.vqvae.losses)
        grads = tape.gradient(total_loss, self.vqvae.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.vqvae.trainable_variables, strict=True))
        self.total_loss_tracker.update_state(total_loss)
        return {"loss": self.total_loss_tracker.result()}


class DiffusionModel(keras.Model):
    """A network and its moving average, which the training step assigns, and a Normalization that was adapted."""

    def __init__(self):
        super().__init__()
        self.normalizer = layers.Normalization()
        self.network = denoiser()
        self.ema_network = keras.models.clone_model(self.network)
        self.seed_generator = new_seed_generator(3)

    def compile(self, **kwargs):
        super().compile(**kwargs)
        self.noise_loss_tracker = keras.metrics.Mean(name="n_loss")

    @property
    def metrics(self):
        return [self.noise_loss_tracker]

    def train_step(self, images):
        images = self.normalizer(images, training=True)
        noises = normal((4, 8, 8, 1), self.seed_generator)
        rates = tf.reshape(tf.linspace(0.1, 0.9, 4), (4, 1, 1, 1))
        noisy_images = tf.sqrt(1 - rates) * images + tf.sqrt(rates) * noises
        with tf.GradientTape() as tape:
            pred_noises = self.network([noisy_images, rates], training=True)
            noise_loss = self.loss(noises, pred_noises)
        gradients = tape.gradient(noise_loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
        self.noise_loss_tracker.update_state(noise_loss)
        for weight, ema_weight in zip(self.network.weights, self.ema_network.weights, strict=True):
            ema_weight.assign(0.9 * ema_weight + 0.1 * weight)
        return {m.name: m.result() for m in self.metrics}


def denoiser():
    noisy_images, noise_variances = keras.Input(shape=(8, 8, 1)), keras.Input(shape=(1, 1, 1))
    e = layers.UpSampling2D(size=8, interpolation="nearest")(noise_variances)
    x = layers.Conv2D(4, kernel_size=1)(noisy_images)
    x = layers.Concatenate()([x, e])
    residual = layers.Conv2D(6, kernel_size=1)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.Conv2D(6, kernel_size=3, padding="same", activation="swish")(x)
    x = layers.Conv2D(6, kernel_size=3, padding="same")(x)
    x = layers.Add()([x, residual])
    x = layers.Conv2D(1, kernel_size=1, kernel_initializer="zeros")(x)
    return keras.Model([noisy_images, noise_variances], x, name="residual_unet")


def diffusion():
    model = DiffusionModel()
    model.normalizer.adapt(IMAGES)
    return model


class PixelConvLayer(layers.Layer):
    """A convolution whose layer masks its kernel itself, and whose constructor takes no name."""

    def __init__(self, mask_type, **kwargs):
        super().__init__()
        self.mask_type = mask_type
        self.conv = layers.Conv2D(**kwargs)

    def build(self, input_shape):
        self.conv.build(input_shape)
        kernel_shape = self.conv.kernel.shape
        self.mask = np.zeros(shape=kernel_shape, dtype="float32")
        self.mask[: kernel_shape[0] // 2, ...] = 1.0
        self.mask[kernel_shape[0] // 2, : kernel_shape[1] // 2, ...] = 1.0
        if self.mask_type == "B":
            self.mask[kernel_shape[0] // 2, kernel_shape[1] // 2, ...] = 1.0
        self.built = True

    def call(self, inputs):
        self.conv.kernel.assign(self.conv.kernel * self.mask)
        return self.conv(inputs)

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.conv.filters)


class ResidualBlock(layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = layers.Conv2D(filters=filters, kernel_size=1, activation="relu")
        self.pixel_conv = PixelConvLayer(
            mask_type="B", filters=filters // 2, kernel_size=3, activation="relu", padding="same"
        )
        self.conv2 = layers.Conv2D(filters=filters, kernel_size=1, activation="relu")

    def call(self, inputs):
        return layers.add([inputs, self.conv2(self.pixel_conv(self.conv1(inputs)))])


def pixelcnn():
    inputs = keras.Input(shape=(8, 8, 1), batch_size=4)
    x = PixelConvLayer(mask_type="A", filters=8, kernel_size=5, activation="relu", padding="same")(inputs)
    x = ResidualBlock(filters=8)(x)
    out = layers.Conv2D(1, kernel_size=1, activation="sigmoid")(x)
    return keras.Model(inputs, out)


def generated(model, noise):
    return model.generator(noise, training=False)


TO_ITSELF = {"x": IMAGES, "y": IMAGES, "batch_size": 4}
BATCHES = {"x": IMAGES, "batch_size": 4}
WITH_RATES = [IMAGES[:4], np.full((4, 1, 1, 1), 0.3, np.float32)]


def both_optimizers(model):
    return [model.d_optimizer, model.g_optimizer]


EXAMPLES = {
    "autoencoder": Stranger(
        autoencoder, lambda model: model.compile(optimizer="adam", loss="mse"), TO_ITSELF, IMAGES[:3]
    ),
    "denoising_autoencoder": Stranger(
        denoising_autoencoder,
        lambda model: model.compile(optimizer="adam", loss="binary_crossentropy"),
        TO_ITSELF,
        IMAGES[:3],
    ),
    "vae": Stranger(
        vae,
        lambda model: model.compile(optimizer=keras.optimizers.Adam()),
        BATCHES,
        NOISE,
        predict=lambda model, x: model.decoder(x, training=False),
        served=lambda model: model.decoder,
        repeats=not LEGACY,
    ),
    "dcgan": Stranger(
        lambda: GAN(*discriminator_and_generator(), latent_dim=6),
        compile_gan,
        {"x": tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)},
        NOISE,
        predict=generated,
        served=lambda model: model.generator,
        optimizers=both_optimizers,
        repeats=not LEGACY,
    ),
    "vq_vae": Stranger(
        lambda: VQVAETrainer(0.1),
        lambda model: model.compile(optimizer=keras.optimizers.Adam()),
        BATCHES,
        IMAGES[:3],
        predict=lambda model, x: model.vqvae(x, training=False),
        served=lambda model: model.vqvae,
        says=[r"vector_quantizer/embeddings_vqvae.*register_prunable"],
    ),
    "diffusion": Stranger(
        diffusion,
        lambda model: model.compile(optimizer=keras.optimizers.AdamW(1e-3), loss=keras.losses.MeanAbsoluteError()),
        BATCHES,
        WITH_RATES,
        predict=lambda model, x: [model.ema_network(x, training=False), model.network(x, training=False)],
        served=lambda model: model.network,
        # The second of this name is the average; the last kernel begins as zeros.
        exclude=[re.compile(r"^residual_unet\.1/"), re.compile("conv2d_4/kernel")],
        repeats=not LEGACY,
    ),
    "pixelcnn": Stranger(
        pixelcnn,
        lambda model: model.compile(optimizer=keras.optimizers.Adam(0.0005), loss="binary_crossentropy"),
        TO_ITSELF,
        IMAGES[:4],
    ),
}
EXAMPLES["wgan_gp"] = Stranger(
    lambda: WGAN(*discriminator_and_generator(), latent_dim=6),
    compile_wgan,
    BATCHES,
    NOISE,
    predict=generated,
    served=lambda model: model.generator,
    optimizers=both_optimizers,
    repeats=not LEGACY,
)
