"""What agents have besides their learning step: settings, random generators, how they act, what is saved.

Nothing here learns. Each algorithm's file holds its whole learning step.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac import optim
from scratchac.algorithms.config import Normalising, check_off_policy
from scratchac.algorithms.saving import load_state, state
from scratchac.distributions import Deterministic, Distribution, Gaussian
from scratchac.environments.flattened import Flattened
from scratchac.environments.spaces import check_action_box, check_observation_space, is_picture, make_distribution
from scratchac.errors import UserError
from scratchac.exploration import NOISES, Noise
from scratchac.nn import MLP, Parameters
from scratchac.normalise import ObservationNormaliser, RewardScaler
from scratchac.policies import Behaviour, Mask, Model, Networks, act
from scratchac.schedules import Hyperparameters
from scratchac.training.agent import FastPath
from scratchac.training.hindsight import HindsightBuffer
from scratchac.training.memory import ReplayBuffer, Transitions

Config = TypeVar("Config", bound=Any)
Vectorised = TypeVar("Vectorised", bound=Normalising)
Replayed = TypeVar("Replayed", bound=Any)


class Plumbing(Generic[Config]):
    """What all agents have. Raises UserError for observations that are not supported."""

    n_envs = 1
    noise: Noise | None = None
    memory: ReplayBuffer | None = None
    normaliser: ObservationNormaliser | None = None
    scaler: RewardScaler | None = None
    dist: Any
    about: dict[str, Any] | None = None     # what config.json says of its training, if `train` or `make_agent` has made it
    writer: ClassVar[Callable[[Any, Any], Path]]    # writes an agent into a folder; set a layer above, in restoring.py

    def __init__(self, config: Config, observation_space: gym.Space, dtype: DTypeLike, pictures: bool = False):
        check_observation_space(observation_space, pictures)
        self.config: Config = config
        self.schedules: Hyperparameters[Config] = Hyperparameters(config)
        self.step = 0
        self.dtype = dtype
        self.observation_space = observation_space
        self.observation_shape: tuple[int, ...] = observation_space.shape or ()
        self.flattened = observation_space if isinstance(observation_space, Flattened) else None

    def __repr__(self) -> str:
        on = f" on {self.about['env']}" if self.about else ""
        steps = f"{self.step:,} of {self.config.steps:,} steps"
        return f"<{type(self).__name__}{on}: {steps}, hidden layers {list(self.config.hidden)}>"

    def save(self, folder: Any) -> Path:
        """Write the agent into a new folder, which `scratchac.load` and the commands read; returns its path.

        Training can be resumed from there, with new episodes. Raises UserError if the folder exists, or for an agent that knows no
        environment, and WriteError.
        """
        return type(self).writer(self, folder)

    def act(self, obs: Any, explore: bool = True) -> np.ndarray:
        """Actions for the environment, for one observation or several: with exploration, or greedy ones.

        Where observations are flattened, `obs` is one element of the environment's space, or one or several vectors of floats.
        """
        return act(self, self.flattened.read(obs) if self.flattened else obs, explore)

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, with exploration."""
        raise NotImplementedError

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, without chance."""
        raise NotImplementedError

    def explore(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, with exploration, outside of training."""
        return self.sample(obs)

    def restart(self, done: np.ndarray) -> None:
        """Forget the running returns of the episodes of these environments, (N,)."""
        if self.scaler:
            self.scaler.restart(done)

    def fast_path(self, envs: Any) -> FastPath | None:
        """None: only kernels are compiled, and the code of the algorithm's file runs."""
        return None

    def temperature(self) -> float:
        """0: the critic's values contain no entropy."""
        return 0.0

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved: arrays, generators, and objects that have a state."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Everything needed to continue exactly."""
        return state(self)

    def load_state(self, saved: dict[str, Any]) -> None:
        """Restore a state. Raises ValueError, and changes nothing, if it belongs to another kind of agent."""
        load_state(self, saved)


def _normaliser(config: Any, space: gym.Space) -> ObservationNormaliser | None:
    """The normaliser of observations that a config asks for, or None. Raises UserError for pictures."""
    if config.normalise_obs and is_picture(space):
        raise UserError("--normalise-obs is for vectors; the encoder of pictures has a scale of its own")
    return ObservationNormaliser(space.shape or ()) if config.normalise_obs else None


class OnPolicyAgent(Plumbing[Config]):
    """An agent that samples actions from a distribution and learns from the steps that it has just taken.

    Raises UserError for spaces that are not supported.
    """

    family: ClassVar[Literal["on-policy", "off-policy", "asynchronous"]] = "on-policy"
    horizon: int | None = None
    masked: Mask | None = None              # where observations say which actions are legal
    model: Model
    behaviour: Behaviour

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, dtype: DTypeLike,
                 pictures: bool = False):
        super().__init__(config, observation_space, dtype, pictures)
        self.dist: Distribution = make_distribution(
            action_space, config.state_dependent_std, config.scale_actions, config.clipped_log_prob)

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations (N, O), drawn from the policy."""
        return self.behaviour.sample(obs)

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations (N, O), without chance."""
        return self.behaviour.greedy(obs)

    def networks(self) -> Networks:
        """Actor and critic as plain networks."""
        return self.model.networks()


class VectorisedAgent(OnPolicyAgent[Vectorised]):
    """What A2C and PPO share: N environments, rollouts of T steps, running statistics, illegal actions."""

    def __init__(self, config: Vectorised, observation_space: gym.Space, action_space: gym.Space, dtype: DTypeLike,
                 pictures: bool = False):
        super().__init__(config, observation_space, action_space, dtype, pictures)
        self.n_envs = config.envs
        self.masked = self._mask(observation_space)
        self.normaliser = _normaliser(config, observation_space)
        self.scaler = RewardScaler(config.envs) if config.scale_rewards else None

    def _mask(self, space: gym.Space) -> Mask | None:
        """The place of the mask of legal actions: the entry "action_mask", at any depth, or else the last part; None without one.

        Of observations that are one vector it is the last features.
        """
        if not self.config.action_mask:
            return None
        if isinstance(self.dist, Gaussian):
            raise UserError("--action-mask says which of n actions are legal, so the actions must be Discrete or several of these")
        if self.config.normalise_obs:
            raise UserError("--action-mask reads zeros and ones from the observations, and --normalise-obs would change them")
        n = self.dist.outputs
        if len(self.observation_shape) != 1 or self.observation_shape[0] < n:
            raise UserError(f"--action-mask reads the last {n} features of an observation, and its shape is {space.shape}")
        part, what = slice(self.observation_shape[0] - n, self.observation_shape[0]), "entry action_mask"
        if self.flattened and len(self.flattened.places) > 1:
            found = [place for keys, place in self.flattened.places if keys[-1] == "action_mask"]
            if len(found) > 1:
                raise UserError(f"the observations have {len(found)} entries action_mask, and --action-mask needs one")
            if not found:
                what = "last part, without an entry action_mask,"
            part = found[0] if found else self.flattened.places[-1][1]
        if part.stop - part.start != n:
            raise UserError(f"the {what} of the observations has {part.stop - part.start} numbers, not one for each of {n} actions")
        return Mask(part, self.dist.sizes)


class OffPolicyAgent(Plumbing[Replayed]):
    """An agent that learns from a replay buffer. Raises UserError for observations that are not supported."""

    family: ClassVar[Literal["on-policy", "off-policy", "asynchronous"]] = "off-policy"
    memory: ReplayBuffer
    actor: MLP
    critic: MLP
    theta: Parameters
    w: Parameters
    values: Literal["Q(s)", "Q(s, a)"] = "Q(s, a)"

    def __init__(self, config: Replayed, observation_space: gym.Space, action_shape: tuple[int, ...], seed: Any, dtype: DTypeLike,
                 pictures: bool = False, action_dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, dtype, pictures)
        check_off_policy(config)
        self.n_envs = config.envs
        self.init_rng, self.rng, self.batch_rng, goal_rng = np.random.default_rng(seed).spawn(4)
        self.normaliser = _normaliser(config, observation_space)
        stored = config.buffer_size, observation_space, action_shape, action_dtype, dtype
        if config.hindsight:
            self.memory = HindsightBuffer(*stored, config.hindsight, config.envs, goal_rng)
        else:
            self.memory = ReplayBuffer(*stored, exact=config.normalise_obs)
        if hasattr(config, "noise"):                                        # which discrete SAC does not have
            self.noise = self._noise(action_shape)

    def _noise(self, action_shape: tuple[int, ...]) -> Noise | None:
        config = self.config
        if config.noise != "none":
            return NOISES[config.noise](self.schedules(0).noise_scale, (config.envs, *action_shape))
        if config.noise_scale != type(config)().noise_scale:
            raise UserError("--noise-scale needs --noise gaussian or ou: else nothing is added to what the policy draws")
        return None

    def upload(self, x: np.ndarray) -> np.ndarray:
        """Numbers on the host as an array of the active backend, in the dtype of the networks."""
        return kernels.backend.asarray(x, self.dtype)

    def see(self, obs: np.ndarray) -> np.ndarray:
        """Observations (B, …) as the networks see them: normalised if there is a normaliser, on the device."""
        asarray = kernels.backend.asarray
        return self.upload(self.normaliser(asarray(obs), asarray) if self.normaliser else obs)

    def seen(self, batch: Transitions) -> Transitions:
        """A minibatch with its observations as the networks see them: old ones, too, by the present statistics."""
        return batch._replace(obs=self.see(batch.obs), next_obs=self.see(batch.next_obs))

    def with_noise(self, a: np.ndarray) -> np.ndarray:
        """Actions in [−1, 1] of the N environments of training, plus noise: correlated noise continues from their last step."""
        assert self.noise is not None
        self.noise.scale = self.schedules(self.step / self.config.steps).noise_scale
        return np.clip(a + self.noise.sample(self.rng), -1, 1)                          # (N, A)

    def restart(self, done: np.ndarray) -> None:
        """Reset the noise of these environments, (N,)."""
        if self.noise:
            self.noise.restart(done)

    def networks(self) -> Networks:
        """Actor and critic as plain networks."""
        return Networks(self.actor, self.theta, self.critic, self.w, self.values)

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved, besides what an algorithm adds. What an agent does not have, has no entry."""
        kept = {"memory": self.memory, "rng": self.rng, "batch_rng": self.batch_rng}
        return kept | {name: part for name, part in (("normaliser", self.normaliser), ("noise", self.noise)) if part}


class DeterministicAgent(OffPolicyAgent[Replayed]):
    """What DDPG and TD3 share: a deterministic policy π(s) in [−1, 1], noise for exploration, target networks.

    critics     () for one critic, (2,) for two of them stacked
    """

    dist: Deterministic
    noise: Noise

    def __init__(self, config: Replayed, observation_space: gym.Space, action_space: gym.Space, name: str,
                 critics: tuple[int, ...], seed: Any, dtype: DTypeLike):
        check_observation_space(observation_space)
        check_action_box(action_space, name)
        self.dist = Deterministic(action_space.low, action_space.high)  # type: ignore[attr-defined]
        A = self.dist.features
        super().__init__(config, observation_space, (A,), seed, dtype)
        O = self.observation_shape[0]
        self.actor = MLP((O, *config.hidden, A), config.activation)
        self.critic = MLP((O + A, *config.hidden, 1), config.activation, stack=critics)
        self.theta, self.theta_target, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(3))
        self.w, self.w_target, self.dw = (Parameters(self.critic.shapes(), dtype) for _ in range(3))
        self.actor.initialise(self.theta, self.init_rng, config.initialiser)
        self.critic.initialise(self.w, self.init_rng, config.initialiser)
        self.theta_target.flat[:] = self.theta.flat
        self.w_target.flat[:] = self.w.flat
        self.actor_optimiser: optim.Optimiser = optim.Adam(self.theta.flat)
        self.critic_optimiser: optim.Optimiser = optim.Adam(self.w.flat)

    def pi(self, params: Parameters, s: np.ndarray) -> tuple[np.ndarray, Any]:
        """π(s) = tanh(network(s)) in [−1, 1], (B, A), and the network's cache."""
        u, cache = self.actor.forward(params, s)
        return self.dist.greedy(u), cache

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """π(s) for N observations (N, O)."""
        return kernels.backend.to_numpy(self.pi(self.theta, self.see(obs))[0])

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """π(s) + noise, for the N environments of training: correlated noise continues from their last step."""
        return self.with_noise(self.greedy(obs))

    def explore(self, obs: np.ndarray) -> np.ndarray:
        """π(s) + noise that depends on no step before, for other environments than those of training."""
        a = self.greedy(obs)                                                            # (N, A)
        self.noise.scale = self.schedules(self.step / self.config.steps).noise_scale
        return np.clip(a + self.noise.fresh(self.rng, a.shape), -1, 1)

    def random(self, rows: int) -> np.ndarray:
        """Uniform actions in [−1, 1]."""
        return self.dist.random(self.rng, rows)

    def value(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Q(s, a), or Q₁ of two critics, (B,) for observations (B, O) and actions in [−1, 1] (B, A)."""
        sa = np.concatenate([self.see(obs), self.upload(actions)], axis=1)
        q, _ = self.critic.forward(self.w, sa, member=0 if self.critic.stack else None)
        return kernels.backend.to_numpy(q[:, 0])

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return super().keeps() | {
            "actor": self.theta.flat, "actor_target": self.theta_target.flat, "critic": self.w.flat,
            "critic_target": self.w_target.flat, "actor_optimiser": self.actor_optimiser,
            "critic_optimiser": self.critic_optimiser}


class SoftAgent(OffPolicyAgent[Replayed]):
    """What the soft actor-critics share: a stochastic policy, and the temperature α = exp(log α), learnt or given."""

    w_target: Parameters
    log_alpha: np.ndarray                   # (1,)
    actor_optimiser: optim.Optimiser
    critic_optimiser: optim.Optimiser
    alpha_optimiser: optim.Optimiser

    def make_optimisers(self, critic: np.ndarray) -> None:
        """Make log α, and the optimisers of the actor, of the flat vector `critic` and of log α."""
        self.log_alpha = kernels.backend.asarray([math.log(self.schedules(0).alpha)], self.dtype)
        self.actor_optimiser = optim.Adam(self.theta.flat)
        self.critic_optimiser = optim.Adam(critic)
        self.alpha_optimiser = optim.Adam(self.log_alpha)

    def temperature(self) -> float:
        """α."""
        return math.exp(self.log_alpha[0])

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return super().keeps() | {
            "actor": self.theta.flat, "critic": self.w.flat, "critic_target": self.w_target.flat, "log_alpha": self.log_alpha,
            "actor_optimiser": self.actor_optimiser, "critic_optimiser": self.critic_optimiser,
            "alpha_optimiser": self.alpha_optimiser}
