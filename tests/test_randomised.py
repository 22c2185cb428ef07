"""A new world for each episode of the lander."""

import gymnasium as gym
import numpy as np
import pytest

import scratchac
from scratchac.environments.make import make
from scratchac.environments.randomised import RandomisedLander
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError


def test_domain_randomisation_stays_within_its_bounds_and_varies():
    pytest.importorskip("Box2D")
    env = make("LunarLander-v3", randomise=np.random.default_rng(0))
    drawn = []
    for _ in range(200):
        env.reset()
        lander = env.unwrapped
        drawn.append((lander.gravity, lander.wind_power, lander.turbulence_power, lander.enable_wind))
        assert lander.world.gravity[1] == pytest.approx(lander.gravity)     # the world really has it
    gravity, wind, turbulence, windy = np.array(drawn).T
    assert -11.99 <= gravity.min() < -11 and -8 < gravity.max() <= -0.01
    assert 0.01 <= wind.min() < 13 and 17 < wind.max() <= 19.99             # clipped at 1.99 it would be constant
    assert turbulence.min() >= 0.01 and turbulence.max() <= 1.99
    assert 0.3 < windy.mean() < 0.7


@pytest.mark.parametrize("name, value", [("gravity", -5.0), ("enable_wind", False), ("wind_power", 1.0), ("turbulence_power", 1.0)])
def test_what_is_drawn_cannot_be_given(name, value):
    """It would be drawn in training, and have the given value in evaluations."""
    with pytest.raises(UserError, match=f"randomise draws {name} anew"):
        scratchac.train("a2c", "LunarLander-v3", 100, randomise=True, env_args={"continuous": True, name: value})


def test_every_environment_has_worlds_of_its_own():
    pytest.importorskip("Box2D")
    venv = VectorEnv("LunarLander-v3", 3, seed=0, randomise=True)
    venv.reset()
    assert len({env.unwrapped.gravity for env in venv.members}) == 3
    venv.close()


def wrappers_of(env):
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


def test_worlds_and_agent_draw_from_different_generators():
    pytest.importorskip("Box2D")
    agent = scratchac.make_agent("ppo", "LunarLander-v3", 7)
    venv = VectorEnv("LunarLander-v3", 3, seed=7, randomise=True)
    venv.reset()                                                            # which makes the third one
    worlds = [next(x for x in wrappers_of(env) if isinstance(x, RandomisedLander)).rng for env in venv.members]
    seeds = [tuple(rng.bit_generator.seed_seq.generate_state(4)) for rng in (agent.rng, agent.batch_rng, *worlds)]
    assert len(set(seeds)) == 5
    venv.close()


def test_an_environment_that_is_made_already_is_not_randomised():
    """It would keep what was drawn last, and evaluations would play with it."""
    lander = gym.make("LunarLander-v3")
    with pytest.raises(UserError, match="randomise changes an environment for good, and this LunarLander-v3 is made already"):
        scratchac.train("a2c", lander, 100, envs=1, randomise=True)
    assert lander.unwrapped.gravity == -10


def test_only_the_lander_can_be_randomised():
    with pytest.raises(UserError, match="LunarLander only"):
        make("CartPole-v1", randomise=np.random.default_rng(0))
