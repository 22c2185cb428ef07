"""A module from the time of gym, which registers its environment there: `--env old:OldCartPole-v0`."""

import gym

gym.register("OldCartPole-v0", "gym.envs.classic_control:CartPoleEnv", max_episode_steps=100)
