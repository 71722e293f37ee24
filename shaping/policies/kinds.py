"""The kind of policy a player gets if none was chosen."""

from shaping.envs.spaces import Box, Discrete
from shaping.policies.networks import check_bounded, is_board

# Up to this many states a table of logits counts as small.
_TABLE = 256


def default_kind(observation_space: Discrete | Box, action_space: Discrete | Box, recurrent: bool = False) -> str:
    """The configuration name of the policy for these spaces.

    "gru" if it has to remember; "tabular" for two actions and few states; "conv" for boards, which have three axes;
    otherwise "mlp", a network on vectors or on one-hot states.

    Args:
      observation_space, action_space: those of one player.
      recurrent: whether it has to remember more than it sees at a time.

    Raises:
      ValueError: for a box of actions whose bounds are not finite.
    """
    if isinstance(action_space, Box):
        check_bounded(action_space)
    if recurrent:
        return "gru"
    if isinstance(observation_space, Discrete):
        two_actions = isinstance(action_space, Discrete) and action_space.num_values == 2
        return "tabular" if two_actions and observation_space.num_values <= _TABLE else "mlp"
    return "conv" if is_board(observation_space) else "mlp"
