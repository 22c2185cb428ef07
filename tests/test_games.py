"""Games and self-play: rewards from the learner's side, opponents from its past, ratings, and the commands."""

import io
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import scratchac
from scratchac.__main__ import main
from scratchac.environments import games
from scratchac.environments.games import Game, Table
from scratchac.environments.make import make
from scratchac.errors import UserError
from scratchac.experiments.run import Run
from scratchac.training import selfplay
from scratchac.training.evaluation import evaluate
from scratchac.training.selfplay import SelfPlay, expected_score

pytest.importorskip("pettingzoo", reason="the extra `games` is not installed")
SMALL = {"hidden": (16,), "envs": 4, "action_mask": True}


def scripted(*columns):
    """An opponent that makes the given moves."""
    moves = list(columns)
    return lambda obs, legal, rng: moves.pop(0)


def self_play(name="tictactoe_v3", n=4, seed=0, **options):
    agent = scratchac.make_agent("a2c", name, **SMALL | options)
    rivals = SelfPlay(name, n, seed)
    rivals.meet(agent)
    return agent, rivals


def stones(obs, name="tictactoe_v3"):
    """(own, other's) stones on the board."""
    squares = {"tictactoe_v3": 9, "connect_four_v3": 42}[name]
    return obs[..., :squares].sum(-1), obs[..., squares : 2 * squares].sum(-1)


# -- one game ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, size, n", [("tictactoe_v3", 27, 9), ("connect_four_v3", 91, 7)])
def test_what_a_player_sees(name, size, n):
    table = Table(name)
    assert table.observation_space.shape == (size,) and table.action_space.n == n
    table.play(1)
    own, other = np.split(table.seen[:-n], 2)                               # seen by player 1, who has no stone yet
    assert table.to_move == 1 and own.sum() == 0 and other.sum() == 1
    mine, _ = np.split(table.seen_by(0)[:-n], 2)
    np.testing.assert_array_equal(mine, other)
    assert table.seen[-n:].tolist() == [1, 0, 1, 1, 1, 1, 1, 1, 1][:n] if n == 9 else table.seen[-n:].all()


def test_a_full_column_is_illegal():
    game = Game("connect_four_v3", scripted(3, 3, 3))
    obs, _ = game.reset(seed=0)
    for _ in range(3):
        obs, *_ = game.step(3)
    assert obs[-7:].tolist() == [1, 1, 1, 0, 1, 1, 1]
    for action in (3, 7, -1):
        with pytest.raises(UserError, match=f"{action} is no legal action now; these are: 0, 1, 2, 4, 5, 6"):
            game.step(action)


@pytest.mark.parametrize("seed, opponent, mine, outcome, own, other", [
    (0, (0, 0, 0), (1, 1, 1, 1), 1, 4, 3),              # the learner begins and is first with four in a column
    (1, (0, 0, 0, 0), (1, 1, 1), -1, 3, 4),             # the other begins, and is first
    (1, (0, 0, 0, 2), (1, 1, 1, 1), 1, 4, 4),           # the other begins and misses its chance
])
def test_rewards_are_the_learners(seed, opponent, mine, outcome, own, other):
    game = Game("connect_four_v3", scripted(*opponent))
    game.reset(seed=seed)
    steps = [game.step(action) for action in mine]
    assert [reward for _, reward, *_ in steps] == [0] * (len(mine) - 1) + [outcome]
    assert [term for _, _, term, *_ in steps] == [False] * (len(mine) - 1) + [True]
    assert stones(steps[-1][0], "connect_four_v3") == (own, other)          # the last observation shows the last stone


def test_a_draw():
    game = Game("tictactoe_v3", scripted(4, 2, 3, 7))                       # squares are counted down the columns
    game.reset(seed=0)
    for action in (0, 8, 6, 5, 1):
        obs, reward, term, trunc, _ = game.step(action)
    assert (reward, term, trunc) == (0, True, False) and stones(obs) == (5, 4)


def test_sides_alternate_or_follow_the_seed():
    game = Game("tictactoe_v3")
    begins = [stones(game.reset()[0])[1] == 0 for _ in range(4)]
    assert begins == [True, False, True, False]
    assert [stones(game.reset(seed=seed)[0])[1] == 0 for seed in (4, 6, 1)] == [True, True, False]


def test_games_against_chance_are_repeatable():
    agent = scratchac.make_agent("a2c", "tictactoe_v3", **SMALL)
    first, again, other = (evaluate(agent, "tictactoe_v3", 20, seed) for seed in (0, 0, 100))
    assert np.array_equal(first, again) and not np.array_equal(first, other) and set(first) <= {-1, 0, 1}


# -- many games against past selves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", games.GAMES)
def test_every_transition_of_self_play_is_true(name):
    """Each side adds one stone at a time, the last observation shows the end of the game, and the next one a beginning.

    An illegal action of either side would be an error.
    """
    agent, rivals = self_play(name)
    obs, finished = rivals.reset(), 0
    begins = stones(obs, name)[1] == 0
    for _ in range(60):
        actions = agent.sample(obs)
        assert obs[np.arange(4), -rivals.action_space.n + actions].all()
        start, reward, next_obs, term, trunc = rivals.step(actions)
        own, other = (after - before for before, after in zip(stones(obs, name), stones(next_obs, name), strict=True))
        assert (own == 1).all() and set(other) <= {0, 1} and (other[~term] == 1).all() and not trunc.any()
        assert not reward[~term].any() and set(reward) <= {-1, 0, 1}
        assert (reward[term & (other == 0)] >= 0).all()                     # who has made the last move has not lost
        assert (reward[term & (other == 1)] <= 0).all()
        assert np.array_equal(start[~term], next_obs[~term])
        fresh_own, fresh_other = stones(start[term], name)
        assert not fresh_own.any() and np.array_equal(fresh_other, begins[term])        # now it is the other side's turn
        begins = begins ^ term
        finished += term.sum()
        obs = start
    assert finished > 8


@pytest.mark.parametrize("shared", [False, True])
def test_opponents_in_a_batch_play_as_they_would_alone(shared, monkeypatch):
    """Four games against four deterministic policies go as each of them goes alone."""
    monkeypatch.setattr(selfplay, "PRESENT", 0)
    agent, rivals = self_play(shared_body=shared)
    rng = np.random.default_rng(3)
    rivals.pool = list(1e3 * rng.standard_normal((4, rivals.present.flat.size), np.float32))
    rivals.elo, rivals.next_snapshot = [0.0] * 4, np.inf
    obs = rivals.reset()
    opponents, sides, history = rivals.opponent.copy(), rivals.side.copy(), []
    assert len(set(opponents)) > 1 and sides.tolist() == [0, 1, 0, 1]
    over = np.zeros(4, bool)
    while not over.all():
        actions = agent.sample(obs)
        obs, reward, next_obs, term, _ = rivals.step(actions)
        history.append((actions, next_obs, reward, term, over))
        over = over | term
    for i in range(4):
        past = scratchac.make_agent("a2c", "tictactoe_v3", shared_body=shared, **SMALL)
        (past.model.params if shared else past.model.theta).flat[:] = rivals.pool[opponents[i]]
        game = Game("tictactoe_v3", lambda obs, legal, rng, past=past: past.act(obs, explore=False))
        game.reset(seed=int(sides[i]))
        for actions, next_obs, reward, term, was_over in history:
            if not was_over[i]:
                seen, outcome, ended, _, _ = game.step(actions[i])
                np.testing.assert_array_equal(seen[:18], next_obs[i, :18])
                assert outcome == reward[i] and ended == term[i]


def test_the_past_stays_what_it_was():
    agent, rivals = self_play(steps=100)
    rivals.reset()
    first = agent.model.theta.flat.copy()
    agent.model.flat += 1
    agent.step = 1
    rivals._begin([0])
    np.testing.assert_array_equal(rivals.pool, [first])                     # not due again before step 2
    agent.step = 2
    rivals._begin([0])
    np.testing.assert_array_equal(rivals.pool, [first, first + 1])


@pytest.mark.parametrize("rating, other, expected", [(0, 0, 1 / 2), (400, 0, 10 / 11), (1200, 1600, 1 / 11), (200, 0, 0.759747)])
def test_expected_scores(rating, other, expected):
    assert expected_score(rating, other) == pytest.approx(expected, rel=1e-6)


def test_ratings_change_hands():
    """With K = 16 a win between equals is worth 8, a draw against 400 points more 16 (½ − 1/11), a game against oneself nothing."""
    _, rivals = self_play(n=3)
    rivals.elo, rivals.learner_elo, rivals.opponent = [0.0, 408.0], 0.0, np.array([0, 1, -1])
    rivals._rate([0], np.array([1, 0, 0]))
    assert (rivals.learner_elo, rivals.elo) == (8, [-8, 408])
    rivals._rate([1, 2], np.array([1, 0, 1]))
    change = 16 * (1 / 2 - 1 / 11)
    assert rivals.learner_elo == pytest.approx(8 + change) and rivals.elo == pytest.approx([-8, 408 - change])
    assert rivals.metrics()["elo"] == pytest.approx(16 + change)


@pytest.mark.slow
# Ten other seeds scored .44 ± .04 (A2C) and .47 ± .09 (PPO), untrained networks −.37 to .17.
@pytest.mark.parametrize("algorithm, options", [
    ("a2c", {"steps": 16_000, "actor_lr": 3e-3, "critic_lr": 6e-3, "entropy_coef": "linear:0.02:0", "normalise_advantage": False,
             "rollout": 16}),
    ("ppo", {"steps": 16_384, "lr": 3e-3, "entropy_coef": "linear:0.02:0", "rollout": 32, "epochs": 4}),
])
def test_self_play_learns_to_beat_chance(algorithm, options):
    agent = scratchac.train(algorithm, "tictactoe_v3", hidden=(32,), **options)
    assert evaluate(agent, "tictactoe_v3", 400).mean() > 0.2


@pytest.fixture(scope="module")
def perfectly():
    return runpy.run_path(str(Path(__file__).parents[1] / "demos/results/perfect.py"))["perfectly"]


def test_perfect_play_never_loses(perfectly, rng):
    """The perfect player, by which results are measured, draws against itself and never loses on either side."""
    perfect = SimpleNamespace(act=lambda obs, explore: np.array([perfectly(x, np.flatnonzero(x[-9:]), rng) for x in obs]))
    assert not evaluate(perfect, lambda: Game("tictactoe_v3", perfectly), 40).any()
    against_chance = evaluate(perfect, "tictactoe_v3", 100)
    assert against_chance.min() >= 0 and against_chance.mean() > 0.8


# -- mistakes and commands ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env", ["tictactoe_v2", "tictactoe", "tictactoe-v3", "connect_four", "conect_four_v3"])
def test_unknown_games(env):
    with pytest.raises(UserError, match=r"did you mean.* (tictactoe_v3|connect_four_v3)"):
        make(env)


def test_pettingzoo_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, games.GAMES["connect_four_v3"], None)
    with pytest.raises(UserError, match="connect_four_v3 needs a package that is missing: pip install"):
        make("connect_four_v3")


@pytest.mark.parametrize("arguments, message", [
    ("train discrete-sac --env tictactoe_v3", "has illegal actions"),
    ("train a3c --env tictactoe_v3", "has illegal actions"),
    ("train a2c --env tictactoe_v3 --no-action-mask", "--action-mask"),
    ("train a2c --env tictactoe_v3 --vector async", "only --vector sync"),
    ("train a2c --env tictactoe_v3 --randomise", "no --randomise"),
    ("train a2c --env tictactoe_v3 --env-args size=4", "no --env-args"),
    ("play --env tictactoe_v3", "scratchac play RUN"), ("play nowhere", "is not a run"),
])
def test_mistakes_are_one_line_and_leave_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.strip().splitlines()) == 1 and message in said.err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("games") / "run"
    scratchac.train("ppo", "connect_four_v3", 2048, out=path, envs=16, rollout=32, batch_size=256, hidden=(16,))
    return path


@pytest.fixture
def run(tmp_path, trained):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--new-episodes"]])
def test_a_run_is_rated_resumed_and_evaluated(words, run, capsys):
    rating = Run.open(run).metrics()["elo"]
    assert np.isfinite(rating).all() and len(set(rating)) > 1
    kept = Run.open(run).restore()[2]["envs"]
    assert main(["resume", str(run), "--steps", "3072", "--quiet", "--no-video", *words]) == 0
    agent, _, interaction = Run.open(run).restore()
    earlier = len(kept["pool"])
    assert agent["step"] == 3072 and len(interaction["envs"]["pool"]) > earlier
    np.testing.assert_array_equal(interaction["envs"]["pool"][:earlier], kept["pool"])
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "20", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["returns"]) <= {-1, 0, 1}


@pytest.mark.slow
def test_new_games_keep_the_pool_and_the_ratings(run):
    agent, kept = scratchac.load(run), Run.open(run).restore()[2]["envs"]
    games = SelfPlay("connect_four_v3", 16, 0)
    games.meet(agent)
    seen = games.renew(kept)
    assert max(len(table.moves) for table in games.tables) <= 1 < max(map(len, kept["moves"]))
    assert all(table.to_move == side for table, side in zip(games.tables, games.side, strict=True)) and len(seen) == 16
    assert games.elo[: len(kept["elo"])] == kept["elo"].tolist() and games.learner_elo == kept["learner_elo"]
    games.close()


@pytest.mark.slow
def test_playing_in_the_terminal(run, monkeypatch, capsys):
    """A whole game is played by answers with every column in turn, legal or not; then q, and the end of the input, leave it."""
    def play(answers):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
        assert main(["play", "--env", "connect_four_v3", str(run)]) == 0
        return capsys.readouterr().out

    said = play("8\nfour\n0\n" + "1\n2\n3\n4\n5\n6\n7\n" * 8)
    assert "'8' is no column to choose now; these are: 1, 2, 3, 4, 5, 6, 7" in said and "'four' is no column" in said
    assert "You play X, and X begins." in said and "You play O, and X begins." in said
    outcomes = [said.count(f"You {how}.") for how in ("win", "lose")] + [said.count("A draw.")]
    assert sum(outcomes) >= 1 and said.endswith(f"{outcomes[0]} won, {outcomes[2]} drawn, {outcomes[1]} lost\n")
    assert re.search(r"\n. . . [XO] . . .\n1 2 3 4 5 6 7\ncolumn \(q leaves\): \n0 won, 0 drawn, 0 lost, 1 left\n", play("4\nq\n"))
    assert play("").endswith("0 won, 0 drawn, 0 lost\n")


@pytest.mark.slow
def test_only_games_are_played_against_a_run(tmp_path, run, capsys):
    scratchac.train("a2c", "CartPole-v1", 200, out=tmp_path / "cart")
    assert main(["play", str(tmp_path / "cart")]) == 2 and "is a run on CartPole-v1, not on tictactoe_v3" in capsys.readouterr().err
    assert main(["play", str(run), "--env", "tictactoe_v3"]) == 2 and "is a run on connect_four_v3, not" in capsys.readouterr().err
