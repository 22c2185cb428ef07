"""Runs: their folders, checkpoints, reports, presets, plots and videos."""
