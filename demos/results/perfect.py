"""A perfect player of tic-tac-toe, by looking at every game there is."""

from functools import cache

LINES = [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {0, 3, 6}, {1, 4, 7}, {2, 5, 8}, {0, 4, 8}, {2, 4, 6}]


@cache
def worth(mine, other):
    """What the game is worth to whose turn it is, if nobody makes a mistake from here on; stones are sets of squares."""
    if any(line <= other for line in LINES):
        return -1
    return max((-worth(other, mine | {a}) for a in range(9) if a not in mine | other), default=0)


def perfectly(obs, legal, rng):
    """An opponent for `scratchac.environments.games.Game`.

    It draws from the moves that are equally good, so that many different games are played.
    """
    mine, other = (frozenset(i for i in range(9) if stones[i]) for stones in (obs[:9], obs[9:18]))
    worths = {a: -worth(other, mine | {a}) for a in legal}
    return rng.choice([a for a in legal if worths[a] == max(worths.values())])
