"""Runs: their folder, checkpoints, reports, presets, pictures and films."""
