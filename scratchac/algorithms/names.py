"""Names of hyperparameters and arguments in other libraries, and what they are called here."""

import re
from collections.abc import Collection

from scratchac.errors import UserError, unknown

# Stable-Baselines3, CleanRL, Spinning Up and RLlib → here. Only the names that the algorithm at hand has are told.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "actor_lr", "critic_lr"), "lr": ("actor_lr", "critic_lr"), "step_size": ("lr", "actor_lr", "critic_lr"),
    "policy_lr": ("actor_lr", "lr"), "pi_lr": ("actor_lr", "lr"), "q_lr": ("critic_lr",), "vf_lr": ("critic_lr", "lr"),
    "value_lr": ("critic_lr", "lr"),
    "total_timesteps": ("steps",), "n_timesteps": ("steps",), "timesteps": ("steps",), "total_steps": ("steps",),
    "max_steps": ("steps",), "num_timesteps": ("steps",), "frames": ("steps",),
    "n_steps": ("rollout",), "num_steps": ("rollout",), "rollout_length": ("rollout",), "horizon": ("rollout",),
    "n_envs": ("envs",), "num_envs": ("envs",), "num_workers": ("envs",), "n_workers": ("envs",), "workers": ("envs",),
    "ent_coef": ("entropy_coef", "alpha"), "entropy_coeff": ("entropy_coef", "alpha"), "entropy_beta": ("entropy_coef", "alpha"),
    "vf_coef": ("value_coef",), "value_loss_coef": ("value_coef",), "vf_loss_coeff": ("value_coef",),
    "autotune": ("learn_alpha",), "target_entropy": ("entropy_target",),
    "gae_lambda": ("lam", "lam_actor", "lam_critic"), "lambda": ("lam", "lam_actor", "lam_critic"),
    "lambda_": ("lam", "lam_actor", "lam_critic"), "td_lambda": ("lam", "lam_actor", "lam_critic"),
    "discount": ("gamma",), "discount_factor": ("gamma",),
    "clip_range": ("clip",), "clip_coef": ("clip",), "clip_ratio": ("clip",), "clip_param": ("clip",), "clip_eps": ("clip",),
    "clip_range_vf": ("clip_value",), "clip_vloss": ("clip_value",),
    "n_epochs": ("epochs",), "update_epochs": ("epochs",), "num_epochs": ("epochs",), "num_sgd_iter": ("epochs",),
    "minibatch_size": ("batch_size",), "sgd_minibatch_size": ("batch_size",), "batch": ("batch_size",),
    "grad_clip": ("max_grad_norm",), "polyak": ("tau",), "replay_size": ("buffer_size",), "memory_size": ("buffer_size",),
    "start_steps": ("learning_starts",), "train_freq": ("train_every",), "update_every": ("train_every",),
    "policy_delay": ("delay",), "policy_frequency": ("delay",), "policy_noise": ("target_noise",),
    "target_policy_noise": ("target_noise",), "noise_clip": ("target_noise_clip",),
    "action_noise": ("noise", "noise_scale"), "exploration_noise": ("noise_scale",), "act_noise": ("noise_scale",),
    "net_arch": ("hidden",), "hidden_sizes": ("hidden",), "hidden_size": ("hidden",), "layers": ("hidden",),
    "activation_fn": ("activation",), "optimizer": ("optimiser",), "optimizer_class": ("optimiser",),
    "initializer": ("initialiser",), "log_std_init": ("initial_std",), "normalize_advantage": ("normalise_advantage",),
    "norm_adv": ("normalise_advantage",), "norm_obs": ("normalise_obs",), "normalize_obs": ("normalise_obs",),
    "norm_reward": ("scale_rewards",), "normalize_rewards": ("scale_rewards",), "normalise_rewards": ("scale_rewards",),
    "env_id": ("env",), "env_name": ("env",), "environment": ("env",), "algo": ("algorithm",), "env_kwargs": ("env_args",),
    "device": ("backend",), "verbose": ("quiet",), "progress_bar": ("quiet",), "capture_video": ("video",),
    "randomize": ("randomise",),
    "n_eval_episodes": ("eval_episodes",), "num_episodes": ("episodes",), "n_episodes": ("episodes",),
    "eval_freq": ("eval_every",), "save_freq": ("checkpoint_every",), "deterministic": ("stochastic",), "explore": ("stochastic",),
    "output": ("out",), "save_dir": ("out",), "log_dir": ("out",), "outdir": ("out",), "random_seed": ("seed",),
}

# Where the same number would mean something else here: what ours is.
_HALF = "the weight of ½ (V − target)²: where the other one has no ½, take twice its number"
_STEPS = "in steps of all environments together"
CONVERSIONS = {
    "polyak": "which is 1 − polyak", "log_std_init": "which is exp(log_std_init)",
    "target_entropy": "which SAC has for one feature of the action, and discrete SAC as a fraction of log n",
    "vf_coef": _HALF, "value_loss_coef": _HALF, "vf_loss_coeff": _HALF,
    "clip_vloss": "the largest change of V, and 0 switches it off",
    "act_noise": "in units of half the action range",
    "train_freq": _STEPS, "eval_freq": _STEPS, "save_freq": _STEPS,
    "deterministic": "which is the opposite",
}


def unknown_name(kind: str, name: str, known: Collection[str], flags: bool = False, otherwise: str | None = None) -> UserError:
    """UserError for a name that is not one of `known`: what another library's name and number are here, or else the nearest ones.

    flags       speak of --actor-lr, not of actor_lr
    otherwise   what is said if there is neither; all of `known` if it is None
    """
    plain = re.sub("^no_", "", name.lstrip("-").replace("-", "_")).lower()
    ours = [x for x in ELSEWHERE.get(plain, ()) if x in known]
    if not ours:
        return unknown(kind, flag(name) if flags else name, [flag(x) if flags else x for x in known], otherwise)
    return UserError(f"unknown {kind} {flag(name) if flags else name!r}; here it is "
                     + " and ".join(flag(x) if flags else x for x in ours)
                     + (f", {CONVERSIONS[plain]}" if plain in CONVERSIONS else ""))


def flag(name: str) -> str:
    """actor_lr as --actor-lr."""
    return name if name.startswith("-") else f"--{name.replace('_', '-')}"
