"""The gallery, docs/gallery.md: what each shipped configuration asks, how it came out and how long it took.

python -m benchmarks.gallery run RUNS [NAME ...]   runs the configurations that RUNS does not hold yet, one at a time
python -m benchmarks.gallery write RUNS [NAME ...] writes docs/gallery.md and docs/images/gallery/ from those runs; with
                                                   names, their entries anew, and leaves the others as they are

`run` starts every configuration in its own process with an empty compilation cache, and notes the processor time it
used in RUNS/NAME.json. With `--small`, configurations that take long on two cores run in the small form that `SMALL`
gives them, and the page says so.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gallery.md"
IMAGES = ROOT / "docs" / "images" / "gallery"
WIDTH, COLOURS = 640, 48
"""Pixels of a picture on the page, and colours of its palette: with few of both it is small."""
ROWS = 4
"""At most as many published values are listed for one configuration."""

QUESTIONS = {
    "reciprocator_exact": "Do learners cooperate if they are rewarded for treating others as they were treated?",
    "loqa_ipd_full": "The same with the sizes of the paper. (For an accelerator.)",
    "loqa_coin": "Do recurrent policies learn to reciprocate in the Coin Game if opponents are imagined to follow Q?",
    "loqa_coin_full": "The same with the networks and sizes of the paper. (For an accelerator.)",
    "ad_align_coin_full": "How do the two forms of Advantage Alignment do with large networks? (For an accelerator.)",
    "ad_align_negotiation": "Do players share items better if advantages are aligned, or if rewards are social?",
    "ad_align_negotiation_full": "The same with the sizes of the released program. (For an accelerator.)",
    "coin_league": "What do eight methods that learn from play find in one Coin Game?",
    "coin_league_full": "The same with larger networks and batches. (For an accelerator.)",
    "loqa_ipd": "Do recurrent policies learn to reciprocate if opponents are imagined to follow their action values?",
    "ad_align_ipd": "Do recurrent policies learn to reciprocate if their advantages are aligned?",
    "ad_align_coin": "Do recurrent policies learn to leave each other's coins if their advantages are aligned?",
    "ecology": "Who cooperates in populations of naive learners and shapers, at every share of naive learners?",
    "ecology_full": "The same in larger populations and on a finer grid. (For an accelerator.)",
    "re_pairing": "Does shaping change where learners end up if they meet strangers in one-shot games?",
    "coala_pg": "Which policy gradients over trials learn to shape a naive learner?",
    "coala_exact": "Which of five constant probabilities shape naive learners, and what do they do to a copy?",
    "coala_mixed": "Do learners over trials cooperate with copies of themselves, if they also meet naive learners?",
    "evolved_loss": "Can a loss be evolved so that whoever climbs it shapes those it meets?",
    "in_context_pool": "Does a recurrent learner find out, while it plays, which strategy it has met?",
    "mfos_coin": "Does M-FOS or COALA-PG shape a learner in the Coin Game? (For an accelerator.)",
    "shaper_storm": "Does Shaper shape a learner in the prisoner's dilemma in a grid world? (For an accelerator.)",
    "shaper_ipd": "Does an evolved recurrent network shape naive learners, and does its memory have to last?",
    "lookahead_extortion": "What do learners that look many of the other's steps ahead do to each other?",
    "mfos_exact": "Can a learner without a model of the other shape it, over the whole course of its learning?",
    "clean_up": "Does PPO learn to clean the river on which all apples depend, with two, four and seven players?",
    "coin_exact": "Does LOLA learn to leave the other player's coins if its gradients have no sampling noise?",
    "coin_exact_pola": "Does outer POLA, with its steps measured between policies, learn to leave the other's coins?",
    "coin_lola": "Does LOLA learn from play to leave the other player's coins, and also with an opponent model?",
    "coin_lola_full": "What happens with the networks and batch sizes of the papers? (For an accelerator.)",
    "coin_pola": "Does POLA-DiCE learn from play to leave the other player's coins?",
    "coin_pola_full": "What happens with POLA's own networks and batch sizes? (For an accelerator.)",
    "coin_ppo": "What do learners do if they treat the other player as part of the environment?",
    "cheap_talk": "Do words help before a one-shot game, and does a shaper learn to promise?",
    "cola_consistency": "How consistent are the directions that COLA learns?",
    "cola_rest_points": "Where do two COLA learners come to rest on the tandem game?",
    "commons_harvest": "Does PPO leave enough apples for them to grow back, with two, four and seven players?",
    "consistency_table": "How consistent is LOLA of order 1, 2, 3, 4 and 6?",
    "cournot": "Do firms that learn by LOLA-DiCE collude?",
    "equilibria": "Who approaches the equilibrium of poker and rock-paper-scissors, and who circles around it?",
    "fishery": "Do naive learners reach the equilibrium of the great fish war, and what does PPO do?",
    "fruit_market": "Do prices follow supply and demand if farmers learn to barter?",
    "gift": "Do learners give away tokens that are worth more to others?",
    "ipd_dice": "Does LOLA-DiCE find cooperation on the iterated prisoner's dilemma, and with how many lookaheads?",
    "lola_network": "Does LOLA depend on whether the policy is a table or a small network?",
    "lola_pg": "Does LOLA with policy gradients find tit-for-tat?",
    "lola_second_order": "Does it help a LOLA learner to imagine opponents that are LOLA learners themselves?",
    "lola_table": "Does LOLA find tit-for-tat where naive learners defect?",
    "m_maml": "From which initial parameters does naive learning do best?",
    "meva_baselines": "How do naive learning and LOLA do in the tournament of meta-value learning?",
    "meva_head_to_head": "How does meta-value learning do against naive learning, LOLA and itself?",
    "meva_tournament": "Who shapes whom if every learner of MeVa's tournament meets every other?",
    "mfos_head_to_head": "How do frozen, naive and LOLA learners do against each other on three games?",
    "mfos_tournament": "Who shapes whom if every learner of M-FOS's tournament meets every other?",
    "mfos_tournament_chicken": "Who gives way to whom if every learner meets every other in one-shot chicken?",
    "mfos_tournament_pennies": "Who exploits whom if every learner meets every other in matching pennies?",
    "negotiation": "Do learners ask only for the items that are worth more to themselves?",
    "opponent_models": "Which remedies help a learner that has seen little of its opponent?",
    "parameterisation": "Does LOLA depend on the coordinates in which a table of logits is written?",
    "phase_diagram": "When does LOLA cooperate, over lookahead rate, step size and the temptation to defect?",
    "pola_preconditioned": "Does outer POLA find tit-for-tat in coordinates in which LOLA does not?",
    "pola_table": "Does outer POLA find tit-for-tat with a table and with a network?",
    "promises": "Do repeated players learn to say what they will do, and does anybody listen?",
    "referential": "Do a speaker and a listener find a code, and with how many words?",
    "sos_table": "Which of ten learning rules cooperate on the iterated prisoner's dilemma?",
    "storm": "What do PPO and LOLA-DiCE learn in the prisoner's dilemma in a grid world?",
    "tandem_table": "Where do eight learning rules come to rest on the tandem game?",
}
"""What each shipped configuration asks."""
PICTURES = {
    "clean_up": "over_game_num_players",
    "cola_consistency": "over_players_all_lookahead_rate",
    "cola_rest_points": "over_players_all_lookahead_rate",
    "commons_harvest": "over_game_num_players",
    "consistency_table": "outcomes",
    "parameterisation": "over_game_contribution_factor",
    "phase_diagram": "map_players_all_step_size_players_all_lookahead_rate",
    "pola_preconditioned": "policies",
}
"""The figure of the report that answers the question, if it is not one of the `USUAL` ones."""
USUAL = ("play_curves", "learning_curves", "over_time")

_ONE_BATCH = {"batch": 16, "slices": 1, "horizon": 20, "evaluation": 16}
SMALL: dict[str, dict[str, Any]] = {
    "coin_exact_pola": {"matches": 4, "updates": 20},
    "coin_lola": {
        "updates": 20,
        "record_every": 2,
        "objective": {"batch": 32},
        "quick": {"matches": 2, "variants": ["naive", "LOLA"]},
    },
    "coin_lola_full": {
        "updates": 4,
        "record_every": 1,
        "variants": {"Foerster et al. 2018": {"objective": _ONE_BATCH, "policy": {"channels": [4, 4], "units": 8}}},
        "quick": {"variants": ["Foerster et al. 2018"]},
    },
    "coin_pola": {"matches": 2, "updates": 4, "record_every": 1, "objective": {"batch": 32}},
    "coin_pola_full": {
        "matches": 1,
        "updates": 3,
        "players": {"max_iterations": 5},
        "objective": _ONE_BATCH,
        "policy": {"hidden": [8], "units": 8},
    },
    "coin_ppo": {"matches": 2, "updates": 30, "record_every": 3, "objective": {"batch": 16}},
    "cola_consistency": {"matches": 4, "players": {"training_steps": 10000}},
    "fishery": {"matches": 4, "updates": 100, "record_every": 10},
    "ipd_dice": {
        "updates": 60,
        "record_every": 6,
        "quick": {"matches": 2, "variants": ["NL", "K=1 rate 0.3", "K=2 no magic box"]},
    },
    "lola_pg": {
        "updates": 30,
        "record_every": 3,
        "objective": {"batch": 400},
        "quick": {"matches": 2, "variants": ["NL-PG", "LOLA-PG"]},
    },
    "m_maml": {
        "quick": {"matches": 2, "variants": ["M-MAML v naive"]},
        "variants": {
            "M-MAML v naive": {
                "players": [
                    {"rule": "naive", "init": {"m_maml": {"outer_rate": 0.1, "episodes": 50}}},
                    {"rule": "naive"},
                ]
            }
        },
    },
    "meva_head_to_head": {"updates": 60, "quick": {"matches": 2, "variants": ["MeVa v naive"]}},
    "opponent_models": {"matches": 4, "updates": 60, "record_every": 6},
}
"""What `run --small` changes in configurations that take long on two cores; `quick` selects variants and matches."""
QUICK_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""XLA flags of small runs that learn from play: compilation takes most of their time."""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `changes` made in it, mapping by mapping."""
    nested = {
        key: merged(base[key], change)
        for key, change in changes.items()
        if isinstance(change, dict) and isinstance(base[key], dict)
    }
    return base | changes | nested


def run(runs: Path, names: list[str], small: bool, limit: float) -> None:
    """Runs what `runs` does not hold yet, one configuration at a time, each for `limit` seconds at most."""
    from shaping.config.files import read, shipped
    from shaping.config.yaml_text import as_yaml
    from shaping.verify import quick_form

    runs.mkdir(parents=True, exist_ok=True)
    for name in names or shipped():
        if (runs / name / "summary.json").exists():
            continue
        shutil.rmtree(runs / name, ignore_errors=True)
        changes = SMALL.get(name, {}) if small else {}
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / f"{name}.yaml"
            config = merged(read(name), changes)
            config = (quick_form(config) or config) if "quick" in changes else config
            text = as_yaml(config)
            file.write_text(text, encoding="utf-8")
            before = _processor_seconds()
            flags = {"XLA_FLAGS": QUICK_COMPILATION} if changes and "objective:" in text else {}
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "shaping", "run", str(file), "--out", str(runs / name), "--quiet"],
                    env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(place) / "cache")} | flags,
                    timeout=limit,
                )
                outcome = f"exit status {done.returncode}"
            except subprocess.TimeoutExpired:
                outcome = f"stopped after {limit:.0f} s"
        used = round(_processor_seconds() - before, 1)
        print(f"{name}: {outcome}, {used} s of processor time", flush=True)
        (runs / f"{name}.json").write_text(json.dumps({"processor_seconds": used, "changes": changes}) + "\n")


def _processor_seconds() -> float:
    """Processor time that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write(runs: Path, names: Sequence[str] = ()) -> list[str]:
    """Writes the page and its pictures from finished runs, or only the entries of the configurations that are named;
    returns the names of configurations that should have been written and have no run."""
    from shaping.config.files import read, shipped

    IMAGES.mkdir(parents=True, exist_ok=True)
    kept = {name: entry for name, entry in _entries().items() if name not in names} if names else {}
    parts, missing = [_HEAD], []
    for name in shipped():
        if name in kept:
            parts.append(kept[name])
            continue
        if not (runs / name / "summary.json").exists():
            missing.append(name)
            (IMAGES / f"{name}.png").unlink(missing_ok=True)
            parts.append(_entry(name, read(name), None, {"changes": {}}))
            continue
        noted = runs / f"{name}.json"
        about = json.loads(noted.read_text()) if noted.exists() else {"processor_seconds": None, "changes": {}}
        summary = json.loads((runs / name / "summary.json").read_text(encoding="utf-8"))
        _shrink(_figure(runs / name / "report", name), IMAGES / f"{name}.png")
        parts.append(_entry(name, read(name), summary, about))
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    return missing


def _entries() -> dict[str, str]:
    """The entries of the page as it is, by the names of their configurations."""
    _, *entries = PAGE.read_text(encoding="utf-8").split("\n## ")
    return {entry.partition("\n")[0]: f"## {entry}" for entry in entries}


NOT_RUN = "Not run for this page, as it takes long on two cores."
_HEAD = """# Gallery

One entry for each configuration that `shaping list` names; `shaping run NAME` runs it. Pictures are from the reports.

Times include compilation and the report. They are seconds of processor time, with an empty compilation cache, or, if
that was not measured, seconds of wall time on two cores that other programs also used. On two quiet cores a run takes
between half of its processor time and all of it. Some runs were made smaller than the shipped configuration; their
entries say so, and they are not compared with published values; those that learn from play were also compiled with
little optimisation. `python -m benchmarks.gallery` makes this page ([benchmarks](../benchmarks/README.md#gallery)).
"""


def _entry(name: str, config: dict[str, Any], summary: dict[str, Any] | None, about: dict[str, Any]) -> str:
    """The entry of one configuration, as Markdown; `summary` is None if there is no run."""
    lines = [f"## {name}", "", f"*{QUESTIONS[name]}*", ""]
    if summary is None:
        text = f"{config['title']}. {NOT_RUN}"
    else:
        lines += [f"![{config['title']}](images/gallery/{name}.png)", ""]
        spent = about["processor_seconds"]
        wall = (summary["timing"] or {}).get("total_s")
        time = f"{spent:.0f} s of processor time" if spent else f"{wall:.0f} s of wall time" if wall else "not measured"
        title = config["title"].removesuffix(".")
        text = f"{title}{'' if title.endswith('?') else '.'} Time: {time}."
        if about["changes"]:
            text += f" Made small: {', '.join(_changes(about['changes'], config))}."
        if unfinished := sum(cell.get("unfinished", 0) for cell in summary["cells"]):
            text += f" The run was stopped before its last {unfinished} matches were finished."
    lines += [text, ""]
    small = summary is None or bool(about["changes"])
    entries = config.get("published", []) if summary is None or small else summary["published"]
    if entries:
        verdicts = [] if small else [entry["verdict"] for entry in entries]
        counts = ", ".join(_counted(verdicts.count(verdict), verdict) for verdict in dict.fromkeys(verdicts))
        lines += [f"{len(entries)} published value{'s' * (len(entries) > 1)}{f': {counts}' if counts else ''}.", ""]
        lines += ["| cell | metric | published | ours | verdict | source |", "|---|---|---|---|---|---|"]
        lines += [_row(entry, small) for entry in entries[:ROWS]]
        if len(entries) > ROWS:
            more = len(entries) - ROWS
            lines.append(
                f"\n{more} more {'is' if more == 1 else 'are'} in the {'configuration' if small else 'report'}."
            )
        lines.append("")
    return "\n".join(lines)


def _counted(count: int, verdict: str) -> str:
    """How many values have a verdict, in words."""
    several = {"agrees": "agree", "differs": "differ"}.get(verdict, verdict) if count > 1 else verdict
    return f"{count} {'without a published uncertainty' if verdict == 'no uncertainty published' else several}"


def _row(entry: dict[str, Any], small: bool) -> str:
    """A published value with ours; without ours if the run was made small."""
    cell = ", ".join(str(v) if k == "variant" else f"{k} {v}" for k, v in (entry.get("cell") or {}).items())
    metric = entry["metric"] + (f", player {entry['player']}" if entry.get("player") is not None else "")
    if small:
        compared = ("", "not compared")
    else:
        known = ", for a known reason" if entry["verdict"] == "differs" and entry.get("known") else ""
        compared = ("" if entry["ours"] is None else f"{entry['ours']:.3g}", entry["verdict"] + known)
    columns = (cell or "all", metric, f"{entry['value']:g}", *compared, entry.get("source", ""))
    return "| " + " | ".join(str(column).replace("|", "\\|") for column in columns) + " |"


def _changes(changes: dict[str, Any], config: dict[str, Any], prefix: str = "") -> list[str]:
    """What a small run changes, in words, each with the shipped value."""
    found = []
    for key, value in changes.items():
        shipped = config.get(key)
        if key == "quick":
            found += [f"`matches` {value['matches']} instead of {config['matches']}"] if "matches" in value else []
            found.append(f"{len(value['variants'])} of {len(config['variants'])} variants")
        elif isinstance(value, dict):
            found += _changes(value, shipped if isinstance(shipped, dict) else {}, f"{prefix}{key}.")
        elif isinstance(value, list) and isinstance(shipped, list) and all(isinstance(each, dict) for each in value):
            for place, (new, old) in enumerate(zip(value, shipped, strict=True)):
                found += _changes(new, old, f"{prefix}{key}.{place}.")
        elif shipped != value:
            found.append(f"`{prefix}{key}` {value}" + (f" instead of {shipped}" if shipped is not None else ""))
    return found


def _figure(report: Path, name: str) -> Path:
    """The figure of a report that the gallery shows."""
    for figure in (PICTURES.get(name, ""), *USUAL):
        if (path := report / f"{figure}.png").exists():
            return path
    raise FileNotFoundError(f"{report}: has none of {', '.join(USUAL)}")


def _shrink(source: Path, target: Path) -> None:
    """Writes a small copy of a picture: its upper part, `WIDTH` wide, in few colours."""
    from PIL import Image

    with Image.open(source) as picture:
        scaled = picture.convert("RGB").resize((WIDTH, round(picture.height * WIDTH / picture.width)))
        shown = scaled.crop((0, 0, WIDTH, min(scaled.height, WIDTH)))
        shown.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "write"))
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("names", nargs="*", metavar="NAME", help="configurations; all by default")
    parser.add_argument("--small", action="store_true", help="run long configurations in a small form")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for each configuration (default: 3600)")
    arguments = parser.parse_args()
    if arguments.action == "run":
        run(arguments.runs, arguments.names, arguments.small, arguments.limit)
    elif missing := write(arguments.runs, arguments.names):
        sys.exit(f"{arguments.runs} has no finished run of {', '.join(missing)}; their entries have no picture")


if __name__ == "__main__":
    main()
