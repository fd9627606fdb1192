"""Muon, an optimizer whose steps are orthogonal matrices.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024
(kellerjordan.github.io/posts/muon). It needs Keras 3 on TensorFlow and nothing else of
the package.
"""

import math

import keras
import tensorflow as tf
from keras import ops

SMALLEST = 32  # a matrix with a shorter side is moved by Adam


def orthogonalize(matrix, steps=5):
    """Bring all singular values of a matrix near 1, whatever they were.

    A step turns each singular value s of X, whose norm is 1, into ``a s + b s^3 + c
    s^5``, without computing any: ``X <- a X + (b X X^T + c (X X^T)^2) X`` (Newton and
    Schulz, with the numbers of Jordan et al.). After five steps they lie between 0.68
    and 1.21; those below 1/500 of the norm are still smaller.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]  # the smaller product is quicker
    x = ops.transpose(matrix) if tall else matrix
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.transpose(x) if tall else x


@keras.saving.register_keras_serializable("tfgen")
class Muon(keras.optimizers.Optimizer):
    """Momentum, made orthogonal before each step; Adam for what is no large matrix.

    A kernel, of a convolution too, is a matrix from all that it reads to the channels
    that it makes. Its step is ``0.2 sqrt(longer side)`` times the orthogonal matrix
    (`orthogonalize`) nearest to the momentum, so that a number moves by about as much
    as with Adam (Liu et al., 2025, arXiv:2502.16982). Adam moves biases, embeddings and
    matrices with a side below 32. Keras' own Muon takes 2-D weights alone, no kernels
    of convolutions.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        For Adam too.
    momentum : float
        How much of the sum of gradients a step keeps.
    beta_1, beta_2, epsilon : float
        Those of `keras.optimizers.Adam`.
    **kwargs
        As all optimizers of Keras take, such as ``weight_decay`` or ``clipnorm``.
    """

    def __init__(
        self,
        learning_rate=4e-3,
        momentum=0.95,
        beta_1=0.9,
        beta_2=0.99,
        epsilon=1e-8,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def get_config(self):
        names = "momentum", "beta_1", "beta_2", "epsilon"
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = [
            self.add_variable_from_reference(variable, "momentum")
            for variable in variables
        ]
        self.velocities = [
            None
            if is_matrix(variable)
            else self.add_variable_from_reference(variable, "velocity")
            for variable in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        momentum, velocity = self.momentums[index], self.velocities[index]
        gradient = tf.convert_to_tensor(gradient, variable.dtype)  # of embeddings too
        rate = ops.cast(learning_rate, variable.dtype)
        if velocity is None:
            self.muon_step(gradient, variable, rate, momentum)
        else:
            self.adam_step(gradient, variable, rate, momentum, velocity)

    def muon_step(self, gradient, variable, rate, momentum):
        self.assign(momentum, self.momentum * momentum + gradient)
        ahead = gradient + self.momentum * momentum  # as Nesterov looks
        matrix = orthogonalize(ops.reshape(ahead, (-1, variable.shape[-1])))
        size = 0.2 * max(matrix.shape) ** 0.5
        self.assign_sub(variable, rate * size * ops.reshape(matrix, variable.shape))

    def adam_step(self, gradient, variable, rate, momentum, velocity):
        self.assign_add(momentum, (1 - self.beta_1) * (gradient - momentum))
        self.assign_add(velocity, (1 - self.beta_2) * (gradient * gradient - velocity))
        step = ops.cast(self.iterations + 1, variable.dtype)
        mean = momentum / (1 - ops.power(self.beta_1, step))
        square = velocity / (1 - ops.power(self.beta_2, step))
        self.assign_sub(variable, rate * mean / (ops.sqrt(square) + self.epsilon))


def is_matrix(variable):
    """Whether a variable is moved by orthogonal matrices."""
    *rows, columns = 1, *variable.shape
    sides = math.prod(rows), columns
    return min(sides) >= SMALLEST and "embedding" not in variable.path
