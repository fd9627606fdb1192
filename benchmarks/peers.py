"""Published recipes, written anew from their settings, to compare with.

All train on 28x28 grey images. The two GANs are Keras models with `fit` and
`sample(count, seed)`, like `tfgen.GAN`, the VAE has an `encoder` and a `decoder`
like `tfgen.VAE`, so that one loop measures theirs and ours.
"""

import math

import keras
import tensorflow as tf
from keras import layers


class Peer(keras.Model):
    """What the two recipes share: two networks, two Adams, sampling."""

    def __init__(self, generator, discriminator, learning_rate):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim = generator.input_shape[-1]
        self.entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        self.compile(optimizer=None, jit_compile=False)
        self.g_optimizer = keras.optimizers.Adam(learning_rate)
        self.d_optimizer = keras.optimizers.Adam(learning_rate)
        self.built = True

    def call(self, latents):
        return self.generator(latents, training=False)

    def sample(self, count, seed=None):
        latents = keras.random.normal((count, self.latent_dim), seed=seed)
        return self.predict(latents, batch_size=256, verbose=0)


class TensorFlowDCGAN(Peer):
    """The "Deep Convolutional GAN" tutorial of tensorflow.org.

    Latent 100, batch 256, Adam 1e-4, dropout 0.3, batch normalisation with
    Keras' default momentum; one forward pass of the generator a step.
    """

    batch_size = 256

    def __init__(self):
        generator = keras.Sequential([layers.Input((100,))])
        generator.add(layers.Dense(7 * 7 * 256, use_bias=False))
        generator.add(layers.BatchNormalization())
        generator.add(layers.LeakyReLU(negative_slope=0.3))
        generator.add(layers.Reshape((7, 7, 256)))
        for filters, strides in ((128, 1), (64, 2)):
            generator.add(
                layers.Conv2DTranspose(
                    filters, 5, strides=strides, padding="same", use_bias=False
                )
            )
            generator.add(layers.BatchNormalization())
            generator.add(layers.LeakyReLU(negative_slope=0.3))
        generator.add(
            layers.Conv2DTranspose(
                1, 5, strides=2, padding="same", use_bias=False, activation="tanh"
            )
        )
        generator.add(layers.Rescaling(0.5, offset=0.5))

        discriminator = keras.Sequential([layers.Input((28, 28, 1))])
        discriminator.add(layers.Rescaling(2.0, offset=-1.0))
        for filters in (64, 128):
            discriminator.add(layers.Conv2D(filters, 5, strides=2, padding="same"))
            discriminator.add(layers.LeakyReLU(negative_slope=0.3))
            discriminator.add(layers.Dropout(0.3))
        discriminator.add(layers.Flatten())
        discriminator.add(layers.Dense(1))
        super().__init__(generator, discriminator, learning_rate=1e-4)

    def train_step(self, real):
        latents = tf.random.normal((tf.shape(real)[0], self.latent_dim))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = self.generator(latents, training=True)
            real_output = self.discriminator(real, training=True)
            fake_output = self.discriminator(fake, training=True)
            g_loss = self.entropy(tf.ones_like(fake_output), fake_output)
            d_loss = self.entropy(tf.ones_like(real_output), real_output)
            d_loss += self.entropy(tf.zeros_like(fake_output), fake_output)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply(g_tape.gradient(g_loss, variables), variables)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(d_tape.gradient(d_loss, variables), variables)
        return {"d_loss": d_loss, "g_loss": g_loss}


def keras_io_networks():
    """The generator and the discriminator of `KerasIoDCGAN`."""
    generator = keras.Sequential([layers.Input((128,))])
    generator.add(layers.Dense(7 * 7 * 128))
    generator.add(layers.LeakyReLU(negative_slope=0.2))
    generator.add(layers.Reshape((7, 7, 128)))
    for _ in range(2):
        generator.add(layers.Conv2DTranspose(128, 4, strides=2, padding="same"))
        generator.add(layers.LeakyReLU(negative_slope=0.2))
    generator.add(layers.Conv2D(1, 7, padding="same"))
    generator.add(layers.Activation("sigmoid", dtype="float32"))

    discriminator = keras.Sequential([layers.Input((28, 28, 1))])
    for filters in (64, 128):
        discriminator.add(layers.Conv2D(filters, 3, strides=2, padding="same"))
        discriminator.add(layers.LeakyReLU(negative_slope=0.2))
    discriminator.add(layers.GlobalMaxPooling2D())
    discriminator.add(layers.Dense(1, dtype="float32"))
    return generator, discriminator


class KerasIoDCGAN(Peer):
    """The guide "Overriding train_step" of keras.io.

    Latent 128, batch 64, Adam 3e-4, generated = 1 and real = 0 with up to 0.05
    of noise added to the labels; the generator runs twice a step.
    """

    batch_size = 64

    def __init__(self):
        super().__init__(*keras_io_networks(), learning_rate=3e-4)

    def train_step(self, real):
        count = tf.shape(real)[0]
        latents = tf.random.normal((count, self.latent_dim))
        fake = self.generator(latents)
        labels = tf.concat([tf.ones((count, 1)), tf.zeros((count, 1))], axis=0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            output = self.discriminator(tf.concat([fake, real], axis=0))
            d_loss = self.entropy(labels, output)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, variables), variables)

        latents = tf.random.normal((count, self.latent_dim))
        with tf.GradientTape() as tape:
            output = self.discriminator(self.generator(latents))
            g_loss = self.entropy(tf.zeros((count, 1)), output)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, variables), variables)
        return {"d_loss": d_loss, "g_loss": g_loss}


class TensorFlowCVAE(keras.Model):
    """The "Convolutional Variational Autoencoder" tutorial of tensorflow.org.

    Latent 2, batch 32, Adam 1e-4, 10 epochs of MNIST binarised at 0.5; the bound
    is estimated from one sample, its KL divergence included.
    """

    batch_size = 32

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([layers.Input((28, 28, 1))])
        for filters in (32, 64):
            self.encoder.add(layers.Conv2D(filters, 3, strides=2, activation="relu"))
        self.encoder.add(layers.Flatten())
        self.encoder.add(layers.Dense(4))

        self.decoder = keras.Sequential([layers.Input((2,))])
        self.decoder.add(layers.Dense(7 * 7 * 32, activation="relu"))
        self.decoder.add(layers.Reshape((7, 7, 32)))
        for filters in (64, 32):
            self.decoder.add(
                layers.Conv2DTranspose(
                    filters, 3, strides=2, padding="same", activation="relu"
                )
            )
        self.decoder.add(layers.Conv2DTranspose(1, 3, padding="same"))
        self.compile(keras.optimizers.Adam(1e-4), jit_compile=False)
        self.built = True

    def train_step(self, images):
        def log_normal(z, mean, log_variance):
            squares = (z - mean) ** 2 * tf.exp(-log_variance)
            terms = squares + log_variance + math.log(2 * math.pi)
            return tf.reduce_sum(-0.5 * terms, axis=1)

        with tf.GradientTape() as tape:
            mean, log_variance = tf.split(self.encoder(images), 2, axis=1)
            z = mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean))
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(images, self.decoder(z))
            likelihood = -tf.reduce_sum(entropy, axis=[1, 2, 3])
            prior = log_normal(z, 0.0, 0.0)
            posterior = log_normal(z, mean, log_variance)
            loss = -tf.reduce_mean(likelihood + prior - posterior)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}
