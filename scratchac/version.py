"""The version of scratchac."""

__version__ = "0.3.0"
