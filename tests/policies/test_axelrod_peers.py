"""Histories move for move as Axelrod-Python plays them, for deterministic strategies that are finite automata."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.policies import mealy_machine
from tests.compiling import quickly

TURNS = 60
# Ours, and the class it is there.
NAMED = {
    "allc": "Cooperator",
    "alld": "Defector",
    "tft": "TitForTat",
    "suspicious_tft": "SuspiciousTitForTat",
    "anti_tft": "AntiTitForTat",
    "bully": "Bully",
    "grim": "Grudger",
    "grudger": "Grudger",
    "wsls": "WinStayLoseShift",
    "win_shift_lose_stay": "WinShiftLoseStay",
    "alternator": "Alternator",
    "tf2t": "TitFor2Tats",
    "two_tits_for_tat": "TwoTitsForTat",
    "hard_tft": "HardTitForTat",
    "hard_tf2t": "HardTitFor2Tats",
    "slow_tft": "SlowTitForTwoTats2",
    "contrite_tft": "ContriteTitForTat",
    "soft_grudger": "SoftGrudger",
    "easy_go": "EasyGo",
    "opposite_grudger": "OppositeGrudger",
    "prober": "Prober",
    "prober_2": "Prober2",
    "prober_3": "Prober3",
    "hard_prober": "HardProber",
    "tester": "SecondByTester",
    "fortress3": "Fortress3",
    "fortress4": "Fortress4",
    "predator": "Predator",
    "pun1": "Pun1",
    "raider": "Raider",
    "ripoff": "Ripoff",
    "solution_b1": "SolutionB1",
    "solution_b5": "SolutionB5",
    "thumper": "Thumper",
    "usually_cooperates": "UsuallyCooperates",
    "usually_defects": "UsuallyDefects",
}
# Strategies with settings: ours, the class, and its arguments.
SET = [
    (("all_or_none", {"rounds": 1}), ("WinStayLoseShift", {})),
    (("all_or_none", {"rounds": 2}), ("AON2", {})),
    (("tits_for_tats", {"tits": 3, "tats": 2}), ("NTitsForMTats", {"N": 3, "M": 2})),
    (("tits_for_tats", {"tits": 2, "tats": 4}), ("NTitsForMTats", {"N": 2, "M": 4})),
    *((("cycle", {"actions": c}), ("Cycler", {"cycle": c})) for c in ("DC", "CCD", "DDC", "CCCD", "CCCCCD", "CCCDCD")),
]
# Machines found by evolution that are published there: their tables are read from the player itself.
EVOLVED = ("EvolvedFSM4", "EvolvedFSM6", "EvolvedFSM16", "EvolvedFSM16Noise05", "TF1", "TF2", "TF3")


@pytest.fixture(scope="module")
def axelrod():
    read = inspect.getsource

    def unread(thing):
        return "" if str(getattr(thing, "__module__", "")).startswith("axelrod") else read(thing)

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # As it is imported, Axelrod reads the source of all strategies to tell which make use of the game or its
        # length. That takes seconds, and no match depends on it.
        patch.setattr(inspect, "getsource", unread)
        return pytest.importorskip("axelrod", reason="needs the peer package axelrod")


@pytest.fixture(scope="module")
def pairs(axelrod):
    """(label, our player, their player), every strategy once."""
    both = [(name, name, getattr(axelrod, cls)()) for name, cls in NAMED.items()]
    for (name, numbers), (cls, arguments) in SET:
        both.append((f"{name} {numbers}", shaping.strategy(name, **numbers), getattr(axelrod, cls)(**arguments)))
    for cls in EVOLVED:
        theirs = getattr(axelrod, cls)()
        both.append((cls, machine_of(theirs), theirs))
    return both


def machine_of(player):
    """Our machine with the tables of one of Axelrod's, its states numbered anew with the initial one first."""
    arrows = player.fsm.state_transitions
    numbered = [player.initial_state, *sorted({s for s, _ in arrows} - {player.initial_state})]
    seen = sorted({action for _, action in arrows}, key=str)
    assert [str(action) for action in seen] == ["C", "D"]
    next_state = [[numbered.index(arrows[s, action][0]) for action in seen] for s in numbered]
    answers = [[str(arrows[s, action][1]) for action in seen] for s in numbered]
    return mealy_machine(str(player.initial_action), next_state, answers)


@pytest.fixture(scope="module")
def stacked(pairs):
    return shaping.stack_automata([ours for _, ours, _ in pairs])


def test_every_ordered_pair_of_strategies_plays_as_in_axelrod_move_for_move(axelrod, pairs, stacked):
    policy, machines = stacked
    count = len(pairs)
    assert count >= 25
    seats = [jax.tree.map(lambda leaf, i=i: leaf[i.ravel()], machines) for i in np.indices((count, count))]
    game = envs.make("ipd")
    params = game.default_params

    def match(first, second, key):
        def step(carry, now):
            observations, state, memories = carry
            chosen, later = [], []
            for seat, theta in enumerate((first, second)):
                distribution, memory = policy.apply(theta, observations[seat], memories[seat])
                chosen.append(distribution.sample(seed=jax.random.fold_in(now, seat)))
                later.append(memory)
            observations, state, _, _, _, info = game.step(now, state, jnp.stack(chosen), params)
            return (observations, state, tuple(later)), info["executed"].astype(jnp.int8)

        start = (*game.reset(key, params), (policy.start(()), policy.start(())))
        return jax.lax.scan(step, start, jax.random.split(key, TURNS))[1]

    keys = jax.random.split(jax.random.key(0), count**2)
    played = np.asarray(quickly(jax.vmap(match))(*seats, keys)).reshape(count, count, TURNS, 2)
    wrong = []
    for i, (name, _, theirs) in enumerate(pairs):
        for j, (other, _, opponent) in enumerate(pairs[: i + 1]):
            history = axelrod.Match((theirs.clone(), opponent.clone()), turns=TURNS, seed=0).play()
            expected = np.array([[str(action) == "D" for action in both] for both in history])
            if not np.array_equal(played[i, j], expected):
                wrong.append(f"{name} - {other}")
            if not np.array_equal(played[j, i], expected[:, ::-1]):
                wrong.append(f"{other} - {name}")
    assert not wrong


def test_against_random_moves_every_strategy_answers_as_in_axelrod(axelrod, pairs, stacked):
    """Whatever the opponent does, so that states are reached to which no strategy leads."""
    policy, machines = stacked
    given = np.random.default_rng(0).integers(0, 2, (20, 60))

    def answers(theta, opponent):
        def step(carry, other):
            observation, memory = carry
            distribution, memory = policy.apply(theta, observation, memory)
            own = distribution.sample(seed=jax.random.key(0)).astype(jnp.int32)
            return (1 + 2 * own + other, memory), own

        return jax.lax.scan(step, (jnp.int32(0), policy.start(())), opponent)[1]

    program = quickly(jax.vmap(jax.vmap(answers, (None, 0)), (0, None)))
    ours = np.asarray(program(machines, jnp.asarray(given, jnp.int32)))
    wrong = []
    for i, (name, _, theirs) in enumerate(pairs):
        for sequence, own in zip(given, ours[i], strict=True):
            moves = [axelrod.Action.D if d else axelrod.Action.C for d in sequence]
            opponent = axelrod.MockPlayer(moves)
            history = axelrod.Match((theirs.clone(), opponent), turns=len(moves), seed=0).play()
            if [str(mine) == "D" for mine, _ in history] != own.tolist():
                wrong.append(name)
    assert not wrong
