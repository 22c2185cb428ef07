"""Functions in other processes or on a cluster, and parameters that they share."""
