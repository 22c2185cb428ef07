"""Exhibits about on-policy learning: targets, advantages, losses."""

from scratchac import losses, returns
from scratchac.algorithms.actor_critic import ActorCritic
from scratchac.algorithms.ppo import PPO
from scratchac.distributions import Categorical
from scratchac.lab.museum import witnesses as w
from scratchac.lab.museum.exhibit import Exhibit

EXHIBITS = (
    Exhibit(
        "terminal-bootstrapped", "The value of what follows a terminal state is added, although nothing follows it.", "a2c",
        "The value tends to 1/(1 − γ) whatever the policy does, so that a pole that falls costs nothing.",
        "The target of a terminal step is its reward alone; a value near 1/(1 − γ) with short episodes contradicts the returns.",
        ("return", "auc"), w.target_at_the_end, "target of a terminal step with r = 1 and V(s′) = 10", 1, 10,
        ((returns.td_target, "gamma * (1 - term) * v_next", "gamma * v_next"),)),
    Exhibit(
        "gae-last-row", "GAE's loop starts one row too early, so the last row's advantage is −V and has no reward.", "a2c",
        "The value is far too low, since the target of every last row is 0; the agent learns, but more slowly.",
        "Compute two rows by hand, or compare V with the returns.",
        ("return", "auc", "value"), w.last_advantage, "last advantage with r = 1, V = ½ and γ = 0.9", 0.95, -0.5,
        ((returns.gae, "return reverse_scan(delta, gamma * lam * (1 - done))",
          "return np.concatenate([reverse_scan(delta[:-1], (gamma * lam * (1 - done))[:-1]), -v[-1:]])"),)),
    Exhibit(
        "missing-delta", "The actor's step is not multiplied by the TD error, so all actions that are taken become more likely.",
        "actor-critic",
        "The policy does not depend on rewards, and the return does not rise.",
        "Double the reward where V = 0: the actor's step must double.",
        ("return", "auc"), w.actor_follows_delta, "actor's step for r = 2 divided by that for r = 1", 2, 1,
        ((ActorCritic.update, "lr * delta * z", "lr * (delta if group.start else 1.0) * z"),)),
    Exhibit(
        "gradient-through-target", "The critic's step follows the gradient of γV(s′) too, and not only that of V(s).",
        "actor-critic",
        "The value stays near 0 for the same number of steps, and the policy hardly improves.",
        "With s′ = s a bias of the critic must move by η δ and not by η δ (1 − γ).",
        ("return", "auc", "value"), w.critic_step_of_its_bias,
        "step of the critic's last bias, divided by η δ, where s′ = s", 1, 0.1,
        ((ActorCritic.update, "discount = h.gamma ** int(",
          "semi = self.model.grad.copy()\n"
          "    self.model.backward(self.model.forward(s2)[2], 0 * y, h.gamma * (1 - term) * self.one[:, None])\n"
          "    self.model.grad[:] = semi - self.model.grad\n"
          "    discount = h.gamma ** int("),)),
    Exhibit(
        "broadcast-advantage", "Advantages (B,) meet log-probabilities (B, 1): each row gets the mean advantage of all.", "a2c",
        "All actions of a batch are reinforced alike, so learning is slow; it is not zero, since batches differ.",
        "Two rows with the advantages 1 and −1 must have opposite gradients.",
        ("return", "auc"), w.gradient_of_the_first_row, "∂L/∂log π of the first of two rows with the advantages 1 and −1", -0.5, 0,
        ((losses.policy_gradient, "advantage * (-1 / len(logp))", "np.full_like(logp, -advantage.mean() / len(logp))"),)),
    Exhibit(
        "sum-not-mean", "The policy gradient is summed over the batch, so that the step grows with the batch.", "a2c",
        "Clipping the gradient and the optimiser hide the factor in part; the balance with the entropy bonus changes.",
        "Repeat each row of a batch: the gradient of a mean must not change.",
        ("return", "auc"), w.gradient_of_one_of_four, "∂L/∂log π of one of four rows with the advantage 1", -0.25, -1,
        ((losses.policy_gradient, "advantage * (-1 / len(logp))", "-advantage"),)),
    Exhibit(
        "softmax-not-subtracted", "In ∂log π(a)/∂y = 1[j = a] − π the second term is missing.", "a2c",
        "Every reward, if positive, raises the logit of the action taken, and nothing lowers the others.",
        "The gradient check of the distribution fails; the sum of the derivative over the logits must be 0.",
        ("return", "auc"), w.sum_of_the_score, "sum of ∂log π(a)/∂y over three logits", 0, 1,
        ((Categorical.backward, "dy -= dlogp[:, None]", "pass"),)),
    Exhibit(
        "entropy-sign", "The entropy bonus is subtracted from the objective, so the policy is made deterministic.", "a2c-sea",
        "The policy stops to explore before it has found the reward.",
        "Plot the entropy: it must fall more slowly with a bonus than without.",
        ("return", "auc"), w.entropy_gradient, "∂L/∂H of one row with the coefficient 0.1", -0.1, 0.1,
        ((losses.entropy_bonus, "np.full_like(entropy, -coef", "np.full_like(entropy, coef"),)),
    Exhibit(
        "stale-ratio", "The importance ratio is taken as 1 in every epoch, so nothing stops the policy from moving.", "ppo",
        "The entropy collapses within the epochs of one rollout on two seeds of three, and the return with it.",
        "After the first epoch the share of clipped rows must not be 0; the gradient for a ratio of 2 is twice that for 1.",
        ("return", "auc", "entropy"), w.surrogate_of_a_bad_action, "∂L/∂log π for a ratio of 2 and the advantage −1", 2, 1,
        ((losses.clipped_surrogate, "ratio = np.exp(logp - logp_old)", "ratio = np.ones_like(logp)"),)),
    Exhibit(
        "no-clip", "The clip of PPO has no effect on the gradient.", "ppo",
        "The policy moves further in each rollout and the entropy falls faster. One seed in three ends as well as with the clip.",
        "The gradient for an advantage of 1 must be 0 where the ratio is above 1 + ε.",
        ("return", "auc", "entropy"), w.surrogate_of_a_good_action, "∂L/∂log π for a ratio of 2 and the advantage 1", 0, -2,
        ((losses.clipped_surrogate, "np.where(gain > clipped, 0, gain)", "gain"),)),
    Exhibit(
        "advantage-not-normalised", "Advantages are not shifted and scaled before PPO's loss.", "ppo",
        "The size of the actor's gradient follows the scale of the rewards, and learning becomes slower or less steady.",
        "Print the standard deviation of the advantages that reach the loss.",
        ("auc",), w.deviation_of_advantages, "standard deviation of the advantages 0 and 20 in the loss", 1, 10,
        ((PPO.minibatch_step, "adv = ((adv - adv.mean(dtype=np.float64)) / (adv.std() + 1e-8)).astype(adv.dtype)", "pass"),)),
    Exhibit(
        "gamma-one", "The discount factor is 1 in a task that never ends.", "a2c-clock",
        "The value has no bound and rises as long as training lasts; the return does not change.",
        "Compare V with 1/(1 − γ), or plot it: it must settle.",
        ("value",), w.endless_clock, "V after 2,000 backups with a reward of 1", 100, 2_000, settings={"gamma": 1.0}),
)
