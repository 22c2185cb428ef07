"""Exhibits about networks: backward passes, initialisation, optimisers, target networks."""

from scratchac import nn, optim
from scratchac.lab.museum import witnesses as w
from scratchac.lab.museum.exhibit import Exhibit

EXHIBITS = (
    Exhibit(
        "zero-initialisation", "All weights begin at zero.", "a2c",
        "Only biases learn: every hidden unit has the same gradient, which is 0, and the policy is the same in all states.",
        "Count different hidden units after initialisation, or print the gradient of the first layer.",
        ("return", "auc", "value"), w.different_units, "different hidden units of eight", 8, 1,
        ((nn.MLP.initialise, "W[...] = kernels.backend.asarray(INITIALISERS[initialiser](rng, W.shape, gain))", "W[...] = 0"),)),
    Exhibit(
        "adam-without-bias-correction", "Adam's moments are not corrected for their start at 0.", "a2c",
        "The first hundred steps are 3 to 7 times as large; on this task the return is the same.",
        "The first step of Adam has the size of the learning rate.",
        (), w.first_step_of_adam, "size of Adam's first step with the learning rate 1", 1, 3.1623,
        ((optim.adam, "step *= 1 / (1 - beta2**t) ** 0.5", "pass"), (optim.adam, "step *= lr / (1 - beta1**t)", "step *= lr"))),
    Exhibit(
        "tanh-slope", "The backward pass leaves out the derivative of tanh.", "a2c",
        "The gradient is wrong, and the agent learns all the same, more slowly.",
        "Check the gradient by finite differences; the learning curve alone does not tell.",
        ("return", "auc", "value"), w.slope_at_two, "derivative of tanh at 2", 0.0707, 1,
        ((nn.linear_backward, "dz *= dy ", "dz = 1 * dy "),)),
    Exhibit(
        "bias-gradient", "The biases of all layers get no gradient.", "a2c",
        "The value of a state near the origin cannot rise, since without biases the networks are odd functions.",
        "Check the gradient by finite differences, or print the biases after training: they are still 0.",
        ("return", "auc", "value"), w.bias_of_three_rows, "∂L/∂b of three rows with ∂L/∂z = 1", 3, 0,
        ((nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "db[...] = 0"),)),
    Exhibit(
        "gradients-accumulate", "The gradient of a batch is added to that of the batches before.", "sac",
        "Each step follows the sum of all gradients so far, so the critic does not settle.",
        "Compute the gradient of the same batch twice: it must be the same.",
        ("return", "q"), w.second_backward, "gradient of the same batch a second time, divided by the first", 1, 2,
        ((nn.linear_backward, "np.matmul(x.swapaxes(-1, -2), dz, out=dW)", "dW += np.matmul(x.swapaxes(-1, -2), dz)"),
         (nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "db += np.sum(dz, axis=-2)"))),
    Exhibit(
        "no-target-network", "The targets are computed with the networks that are trained.", "ddpg",
        "The target moves with every step of the critic, and Q moves far away from the returns.",
        "Compare Q with the discounted returns that follow.",
        ("return", "q"), w.target_moves, "target parameter after one update from 0 towards 1", 0.005, 1, settings={"tau": 1.0}),
    Exhibit(
        "polyak-reversed", "The average of the target network has its two weights exchanged.", "ddpg",
        "The target follows almost at once, as if there were no target network.",
        "After one update the target must still be close to what it was.",
        ("return", "q"), w.target_moves, "target parameter after one update from 0 towards 1", 0.005, 0.995,
        ((optim.polyak, "target *= 1 - tau", "target *= tau"),
         (optim.polyak, "target += tau * online", "target += (1 - tau) * online"))),
)
