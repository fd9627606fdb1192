"""Which numbers a machine trains faster with: of 16 bits or of 32."""

import time

import tensorflow as tf


def faster_policy():
    """The Keras policy with which this machine trains convolutions faster.

    Processors without instructions for bfloat16 compute with it too, but several times
    slower than in float32. So a small gradient is timed with both, in half a second.

    Returns
    -------
    str
        ``"mixed_bfloat16"`` or ``"float32"``, for
        ``keras.mixed_precision.set_global_policy``.
    """
    fast = time_gradient("bfloat16") < time_gradient("float32")
    return "mixed_bfloat16" if fast else "float32"


def time_gradient(dtype):
    """The least seconds of three for the gradient of a convolution."""
    images, kernel = tf.ones((8, 32, 32, 32), dtype), tf.ones((3, 3, 32, 32), dtype)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch((images, kernel))
            total = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return [tf.reduce_sum(x) for x in tape.gradient(total, (images, kernel))]

    seconds = []
    for _ in range(4):  # the first one compiles
        start = time.perf_counter()
        float(gradients()[0])
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
