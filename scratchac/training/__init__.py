"""Training loops, evaluation, rollouts and the replay buffer, and the interface of agents."""
