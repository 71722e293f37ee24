"""All possible courses of three rounds of the prisoner's dilemma, each a stream weighted with its probability: exact
expectations of estimators, without sampling."""

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from shaping import envs
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular
from tests.compiling import quickly

STEPS, DISCOUNT = 3, 0.96
# The probe of the ledger of golden vectors: order start, CC, CD, DC, DD, both players in player 0's view.
PROBE = (np.array([0.1, -0.2, 0.3, -0.4, 0.5]), np.array([-0.5, 0.4, -0.3, 0.2, -0.1]))
VALUE = -4.620330812656761  # of player 0 at the probe, three rounds (float64, from the chain)

_COURSES = list(itertools.product(range(4), repeat=STEPS))
_JOINT = np.array(_COURSES).T  # [time, courses] joint actions CC, CD, DC, DD
ACTIONS = np.stack([_JOINT // 2, _JOINT % 2], axis=-1)  # [time, courses, players]
STATES = np.concatenate([np.zeros((1, len(_COURSES)), int), 1 + _JOINT[:-1]])  # [time, courses]
REWARDS = np.array([[-1, -1], [-3, 0], [0, -3], [-2, -2]], float)[_JOINT]  # [time, courses, players]


def log_probabilities(thetas):
    """[time, courses, players], differentiable."""
    each = []
    for player, theta in enumerate(thetas):
        logit = jnp.asarray(theta)[STATES]
        each.append(jnp.where(ACTIONS[..., player] == 0, jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)))
    return jnp.stack(each, axis=-1)


def weights(thetas):
    """[courses], what turns a mean over courses into an expectation; no derivative passes."""
    chances = jnp.exp(jnp.sum(log_probabilities(thetas), axis=(0, 2)))
    return jax.lax.stop_gradient(chances * len(_COURSES))


def exact_returns(thetas):
    """[players] from the chain of the game, differentiable."""
    game = envs.make("ipd", discount=DISCOUNT, horizon=STEPS, state_view="shared")
    form = ExactMatrixGame(2, STEPS, "shared", (tabular(5),) * 2)
    return form.objective(game.default_params)(thetas)[0]


def all_derivatives(function, thetas, orders=3):
    """Gradients [players, 10], Hessians [players, 10, 10] and third derivatives of returns [players] in the ten
    parameters together, by one program; or the first of them alone."""

    def next_order(of):
        """From `flat -> (a derivative, all up to it)` to the same of one order more."""
        return lambda flat: (lambda found: (found[0], [*found[1], found[0]]))(jax.jacfwd(of, has_aux=True)(flat))

    def of(flat):
        return jnp.stack(list(function([flat[:5], flat[5:]]))), []

    for _ in range(orders):
        of = next_order(of)
    flat = jnp.concatenate([jnp.asarray(theta) for theta in thetas])
    return [np.asarray(each) for each in quickly(lambda flat: of(flat)[1])(flat)]


@cache
def exact_derivatives():
    """`all_derivatives` of the exact returns at the probe, in float64."""
    with jax.enable_x64(True):
        return all_derivatives(exact_returns, PROBE)
