"""The exercises in their order, by name."""

from scratchac.errors import find_name
from scratchac.lab.exercises import estimates, networks, policies, soft, values
from scratchac.lab.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in (
    estimates.DISCOUNTED_RETURN, estimates.N_STEP, estimates.GAE,
    policies.SOFTMAX_GRADIENT, policies.GAUSSIAN_GRADIENT, policies.POLICY_GRADIENT_LOSS,
    networks.DENSE_BACKWARD, networks.MLP_BACKWARD, networks.ADAM,
    policies.PPO_CLIP, estimates.REPLAY_BUFFER,
    values.Q_NETWORK, values.POLICY_NETWORK, values.DDPG_UPDATE, values.TD3_TARGET,
    soft.TANH_GAUSSIAN_LOGP, soft.TANH_GAUSSIAN_BACKWARD, soft.SAC_ACTOR_STEP, soft.TEMPERATURE,
    networks.CONVOLUTION_BACKWARD,
)}
NAMES = list(EXERCISES)


def file_name(exercise: Exercise) -> str:
    """The name of an exercise's file, such as 03_gae.py."""
    return f"{NAMES.index(exercise.name) + 1:02}_{exercise.function}.py"


def find(name: str) -> Exercise:
    """An exercise by its name, a part of it, its number, or its file. Raises UserError if there is none, or several."""
    if name.isdecimal() and 1 <= int(name) <= len(NAMES):
        return EXERCISES[NAMES[int(name) - 1]]
    for exercise in EXERCISES.values():
        if name.rpartition("/")[2] == file_name(exercise):
            return exercise
    return EXERCISES[find_name("exercise", name, NAMES)]
