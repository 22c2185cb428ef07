"""The commands of `scratchac`, and what they do beyond training."""
