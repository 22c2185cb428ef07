"""One file per algorithm. Each defines a frozen dataclass `Config` and an agent with

    act(obs, explore=True)   an action for the environment        update(batch)                metrics of one learning step
    sample(obs), to_env(a)   what is stored, what is played       state(), load_state(state)   everything that has been learnt
"""

from importlib import import_module

from scratchac.errors import unknown

# name → (module, class, the environment it is trained on unless another is named)
ALGORITHMS = {
    "reinforce": ("reinforce", "Reinforce", "CartPole-v1"),
    "reinforce-baseline": ("reinforce_baseline", "ReinforceBaseline", "CartPole-v1"),
    "actor-critic": ("actor_critic", "ActorCritic", "CartPole-v1"),
    "a2c": ("a2c", "A2C", "LunarLander-v3"),
    "a3c": ("a3c", "A3C", "CartPole-v1"),
    "ppo": ("ppo", "PPO", "CartPole-v1"),
    "ddpg": ("ddpg", "DDPG", "Pendulum-v1"),
    "td3": ("td3", "TD3", "Pendulum-v1"),
    "sac": ("sac", "SAC", "Pendulum-v1"),
    "discrete-sac": ("discrete_sac", "DiscreteSAC", "CartPole-v1"),
}


def find(name):
    """The agent class of an algorithm. Raises UserError for an unknown name."""
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise unknown("algorithm", name, list(ALGORITHMS))
    module, cls, _ = ALGORITHMS[name]
    return getattr(import_module(f"scratchac.algorithms.{module}"), cls)
