"""Exhibits about off-policy learning: DDPG, TD3, SAC."""

from scratchac import distributions, losses
from scratchac.algorithms.ddpg import DDPG
from scratchac.algorithms.sac import SAC
from scratchac.algorithms.td3 import TD3
from scratchac.lab.museum import update_witnesses as updates
from scratchac.lab.museum import witnesses
from scratchac.lab.museum.exhibit import Exhibit

EXHIBITS = (
    Exhibit(
        "actor-leaks-into-critic", "The actor's loss changes the critic too, which is trained to value whatever the actor does.",
        "ddpg",
        "The critic moves away from its targets in every update, and the policy does not learn.",
        "Compare the critic's parameters before and after a step of the actor.",
        ("return", "q"), updates.critic_moved_by_the_actor,
        "largest change of the critic in an actor's step, in learning rates", 0, 1,
        ((DDPG.actor_step, "da = self.critic.backward(self.w, cache, dq, None, input_gradient=True)[:, s.shape[1]:]",
          "da = self.critic.backward(self.w, cache, dq, self.dw, input_gradient=True)[:, s.shape[1]:]\n"
          "    self.critic_optimiser.step(self.dw.flat, h.critic_lr)"),)),
    Exhibit(
        "actor-descends", "The actor minimises Q.", "ddpg",
        "The return becomes worse than that of random actions.",
        "After a step of the actor alone, Q(s, π(s)) must be larger.",
        ("return", "auc", "q"), updates.direction_of_the_actor, "sign of the change of Q(s, π(s)) in an actor's step", 1, -1,
        ((DDPG.actor_step, "-1 / len(s)", "1 / len(s)"),)),
    Exhibit(
        "batch-minimum", "The minimum is taken over the batch too, and not over the two critics alone.", "td3",
        "Every target is that of the worst state of the batch, and the critic cannot tell states apart.",
        "Targets of a batch of different states must differ where rewards do not.",
        ("return", "q"), updates.spread_of_targets, "spread of the targets in units of that of the smaller Q", 1, 0,
        ((TD3.critic_step, "q2.min(axis=0)", "q2.min()"),)),
    Exhibit(
        "one-noise-row", "Target policy smoothing draws one noise for the whole batch.", "td3",
        "The noise of the targets is the same in all rows and does not average out within a batch.",
        "Equal transitions in one batch must have different targets.",
        (), updates.different_targets, "different targets of eight equal transitions", 8, 1,
        ((TD3.critic_step, "self.rng.standard_normal(a2.shape)", "self.rng.standard_normal((1, a2.shape[1]))"),)),
    Exhibit(
        "one-critic", "SAC uses the first of its critics alone.", "sac",
        "Q is a little larger, and on this task the return is the same.",
        "Give the critics known values: the target must use the smaller one.",
        ("q",), updates.smaller_of_two, "target where Q₁ = 2 and Q₂ = 1", 1, 2,
        ((SAC.critic_step, "q2.min(axis=0) - alpha", "q2[0] - alpha"),
         (SAC.actor_step, "first = q[0] <= q[1]", "first = q[0] < np.inf"))),
    Exhibit(
        "max-of-critics", "SAC's target uses the larger of the two critics.", "sac",
        "The values become larger than with the minimum; the return hides it on this task.",
        "Give the critics known values, or compare Q with the returns that follow.",
        ("q",), updates.smaller_of_two, "target where Q₁ = 2 and Q₂ = 1", 1, 2,
        ((SAC.critic_step, "q2.min(axis=0)", "q2.max(axis=0)"),)),
    Exhibit(
        "broadcast-critic", "Targets (B,) meet critics (B, 1): each Q is compared with the targets of all rows.", "sac",
        "The critic learns one mean for all states, and the policy has nothing to follow.",
        "A critic that gives exactly its targets must have the gradient 0.",
        ("return", "q"), witnesses.loss_of_a_perfect_critic, "largest ∂L/∂q of critics that give their targets, 0 and 1", 0, 0.25,
        ((losses.stacked_mse, "error = q - target", "error = (q[:, :, None] - target).mean(axis=2)"),)),
    Exhibit(
        "no-tanh-correction", "The log-probability is that of the Gaussian before tanh, in both passes.",
        "sac-inside",
        "The policy gains entropy by moving to the bounds of the actions, and it stays there.",
        "The density must integrate to 1 over the actions; the entropy of actions in [−1, 1] is at most log 2 for each.",
        ("return", "entropy"), updates.area_under_the_density, "∫ π(a) da for μ = 0 and σ = 1", 1, 0.6057,
        ((distributions.tanh_gaussian, " - 2 * (math.log(2) - u - softplus)", ""),
         (distributions.tanh_gaussian_backward, " + dlogp * (2 * a)", ""))),
    Exhibit(
        "exp-alpha-q", "The actor aims at exp(αQ) and not at exp(Q/α).", "sac-cold",
        "A small α makes the policy more random and not less, so the entropy is too high and the return suffers.",
        "Print the weight of log π in the actor's loss: it must be α.",
        ("return", "entropy"), updates.weight_of_the_entropy, "weight of log π in the actor's loss with α = 0.2", 0.2, 1,
        ((SAC.actor_step, ".astype(q.dtype) / -len(s)", ".astype(q.dtype) * alpha / -len(s)"),
         (SAC.actor_step, "* (alpha / len(s))", "* (1 / len(s))"))),
    Exhibit(
        "entropy-target-sign", "The entropy target is +A and not −A, above the largest entropy that is possible.", "sac-inside",
        "α grows without limit, and the policy stays uniform.",
        "Plot α; the largest entropy of an action in [−1, 1] is log 2, which is less than 1.",
        ("return", "alpha", "entropy", "q"), updates.entropy_target, "entropy target of one action feature", -1, 1,
        ((SAC.total_entropy_target, "return h", "return -h"),)),
    Exhibit(
        "temperature-sign", "α rises where the entropy is above its target, and falls where it is below.", "sac",
        "α moves away from where it should be, in the direction in which it has started.",
        "Plot α and the entropy: an entropy above its target must make α fall.",
        ("return", "alpha", "entropy", "q"), updates.temperature_moves,
        "change of log α, in learning rates, where the entropy is above its target", -1, 1,
        ((SAC.temperature_step, "-alpha * (logp.mean()", "alpha * (logp.mean()"),)),
    Exhibit(
        "target-critics-in-actor", "The actor's loss uses the target critics.", "sac",
        "The actor follows older values; on this task the return is the same.",
        "Change the critics that are trained: the actor's loss must change.",
        (), updates.actor_loss_follows_the_critics, "change of the actor's loss where both Q rise by 1", -1, 0,
        ((SAC.actor_step, "q, cache = self.critic.forward(self.w,", "q, cache = self.critic.forward(self.w_target,"),
         (SAC.actor_step, "da = self.critic.backward(self.w,", "da = self.critic.backward(self.w_target,"))),
    Exhibit(
        "actor-at-next-state", "The actor learns at s′ and not at s.", "sac",
        "Almost the same states are in both columns of the replay buffer, so nothing is seen.",
        "Give s and s′ different values, and look at what reaches the actor.",
        (), updates.states_of_the_actor, "mean state of the actor's step, where all s are 0 and all s′ are 1", 0, 1,
        ((SAC.update, "self.actor_step(batch.obs,", "self.actor_step(batch.next_obs,"),)),
)
