"""Environments: made, checked, put side by side, brought back to where they were; pictures, games, spaces."""
