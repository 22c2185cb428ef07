"""Exhibits about data: what the training loops and the environments hand on to an algorithm."""

from scratchac import distributions
from scratchac.environments.vector import VectorEnv
from scratchac.lab.museum import witnesses as w
from scratchac.lab.museum.exhibit import Exhibit
from scratchac.training import loops

EXHIBITS = (
    Exhibit(
        "truncation-as-termination", "A time limit counts as a terminal state, so the value of what follows is cut.", "ddpg-25",
        "The agent that learns from short episodes fails in long ones, although its returns while training look the same.",
        "Test in episodes that are longer than those of training, and count the terminal states in the replay buffer of an "
        "environment that has none.",
        ("return",), w.stopped, "terminal states stored of three steps up to a time limit", 0, 1,
        ((loops.train_off_policy, "term=term, trunc=trunc", "term=term | trunc, trunc=trunc"),)),
    Exhibit(
        "truncation-in-the-value", "A time limit counts as a terminal state in a rollout, so V expects that rewards end there.",
        "a2c-clock",
        "The return is the same, and the value settles far below 1/(1 − γ).",
        "Compare V with a return that is known: with a reward of 1 at every step it is 1/(1 − γ).",
        ("value",), w.terms_of_a_limit, "terminal states handed on of three steps up to a time limit", 0, 1,
        ((loops.train_on_policy, "rewards, next_obs, term, trunc, t)", "rewards, next_obs, term | trunc, trunc, t)"),)),
    Exhibit(
        "next-episode-observation", "After the last step of an episode the first observation of the next one is stored as s′.",
        "ddpg-25",
        "Where time limits are frequent the critic is wrong about every last step, and the policy fails in long episodes.",
        "Let an environment count its steps in the observation: no stored s′ may be further than one step from its s.",
        ("return",), w.largest_step_stored, "largest s′ − s stored, where observations are 100 · episode + step", 1, 98,
        ((loops.train_off_policy, "next_obs=next_obs, term=term", "next_obs=next_start, term=term"),)),
    Exhibit(
        "next-observation-is-the-same", "The observation after the step is stored as s too, so that s = s′ in every transition.",
        "a2c",
        "The policy gets worse than a random one, because the action is judged at an observation that it has produced.",
        "Let an environment count its steps in the observation: s′ − s must be one step.",
        ("return", "auc"), w.step_handed_on, "mean of s′ − s, where the observation is the number of the step", 1, 0,
        ((loops.train_on_policy, "rollout.add(interaction.obs, actions", "rollout.add(next_obs, actions"),)),
    Exhibit(
        "phantom-transition", "The reset of an environment is stored as a step: from the last observation to the first of the next "
        "episode, with a reward of 0.", "ddpg-25",
        "Each episode adds one transition that no action has caused, and where episodes are short the policy fails.",
        "Count transitions and steps, and look at the largest change of the observation in the replay buffer.",
        ("return",), w.largest_step_stored, "largest s′ − s stored, where observations are 100 · episode + step", 1, 97,
        ((VectorEnv.step, "next_obs[i], reward[i], term[i], trunc[i], _ = env.step(actions[i])",
          "over = self.__dict__.setdefault('over', set())\n"
          "        next_obs[i], reward[i], term[i], trunc[i], _ = (\n"
          "            (env.reset()[0], 0.0, False, False, {}) if i in over else env.step(actions[i]))\n"
          "        over.discard(i)"),
         (VectorEnv.step, "obs[k] = self.members[k].reset()[0]", "over.add(k)"))),
    Exhibit(
        "mode-stored", "The most likely action is stored and not the one that was taken.", "a2c",
        "The policy becomes deterministic early, for an action that was not tried, and the return stays low.",
        "Let an environment return the action as its observation, and compare it with the stored action.",
        ("return", "auc", "entropy"), w.actions_not_taken, "share of stored actions that were not taken", 0, 0.625,
        ((loops.train_on_policy, "rollout.add(interaction.obs, actions",
          "rollout.add(interaction.obs, agent.greedy(interaction.obs)"),)),
    Exhibit(
        "same-seeds", "All environments have the same seed, so their episodes begin alike.", "a2c-match",
        "A rollout contains fewer different observations than rows, and learning is slower.",
        "Compare the first observations of the environments: they must differ.",
        ("return", "auc"), w.different_seeds, "different seeds of four environments", 4, 1,
        ((VectorEnv.__init__, "[int(x) for x in sequence.generate_state(n)]", "[int(sequence.generate_state(1)[0])] * n"),)),
    Exhibit(
        "rewards-clipped", "Only the signs of the rewards are learnt from.", "a2c-wager",
        "The agent prefers the sure reward of 1, although the other action is worth more.",
        "Compare the value with returns in the environment's own units.",
        ("return", "auc", "value"), w.reward_handed_on, "what is handed on of a reward of 10", 10, 1,
        ((VectorEnv.step, "done = term | trunc", "reward = np.sign(reward)\n    done = term | trunc"),)),
    Exhibit(
        "clipped-action-stored", "The clipped action is stored and learnt from, and not the sample.", "ppo-pendulum",
        "The entropy falls, because the density of a clipped action is that of another action; the return is not lower.",
        "Sample with a standard deviation that is larger than the range of actions: some samples must be outside.",
        ("entropy",), w.largest_action, "stored action for a sample of 3 where actions end at 1", 3, 1,
        ((distributions.Gaussian.sample, "return mu + np.exp(log_std) * eps.astype(y.dtype)",
          "return np.clip(mu + np.exp(log_std) * eps.astype(y.dtype), self.low, self.high)"),)),
)
