"""Training loops, evaluation, what is learnt from, and what an agent is."""
