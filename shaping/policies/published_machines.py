"""Machines for the prisoner's dilemma as printed in their papers: small Mealy machines, most of them evolved.

Each line is one machine: its first action, then for each state, numbered from 1 (where it starts), two entries, after
the opponent's C and after its D. An entry is the next state and the action played on the way there.

Sources: Fortress 3 and 4, Predator: W. Ashlock and D. Ashlock (2006), Changes in prisoner's dilemma strategies over
evolutionary time with different population sizes, CEC. Pun1: D. Ashlock, E.-Y. Kim and N. Leahy (2006), Understanding
representational sensitivity in the iterated prisoner's dilemma with fingerprints, IEEE Trans. SMC C 36. Ripoff,
Thumper: D. Ashlock and E.-Y. Kim (2008), Fingerprinting: visualization and automatic analysis of prisoner's dilemma
strategies, IEEE Trans. Evolutionary Computation 12. Usually cooperates and defects: D. Ashlock, E.-Y. Kim and W.
Ashlock (2009), Fingerprint analysis of the noisy prisoner's dilemma using a finite-state representation, IEEE TCIAIG 1.
Raider: W. Ashlock, J. Tsang and D. Ashlock (2014), The evolution of exploitation, FOCI. Solutions B1 and B5: D.
Ashlock, J. A. Brown and P. Hingston (2015), Multiple opponent optimization of prisoner's dilemma playing agents, IEEE
TCIAIG 7.
"""

from shaping.policies.automaton import Machine, mealy_machine

PUBLISHED = {
    "fortress3": "D  1D 2D  1D 3C  3C 1D",
    "fortress4": "D  1D 2D  1D 3D  1D 4C  4C 1D",
    "predator": "C  1D 2D  3D 4D  5C 4D  6D 5C  3C 7D  8D 4D  8C 8D  9D 8D  9D 7D",
    "pun1": "D  2C 2C  1C 1D",
    "raider": "D  3D 3D  2C 2D  1D 4C  1D 2C",
    "ripoff": "D  2C 3C  1D 3C  3C 3D",
    "solution_b1": "D  2D 1D  2C 3C  3C 3C",
    "solution_b5": "D  2C 6D  2C 3D  6C 1D  3C 6D  5D 4D  3C 5D",
    "thumper": "C  1C 2D  1D 1D",
    "usually_cooperates": "C  1C 2C  1D 1C",
    "usually_defects": "D  2D 1D  1D 1C",
}


def published_machine(name: str) -> Machine:
    """One of `PUBLISHED` as a Moore machine."""
    first, *entries = PUBLISHED[name].split()
    pairs = list(zip(entries[::2], entries[1::2], strict=True))
    next_state = [[int(entry[:-1]) - 1 for entry in pair] for pair in pairs]
    return mealy_machine(first, next_state, [[entry[-1] for entry in pair] for pair in pairs])
