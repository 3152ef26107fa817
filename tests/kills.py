"""Kills commands at random moments, lets them go on, and compares with a run that nobody disturbed.

python tests/kills.py --n 20 --seed 7 --out FILE     goes on from FILE; --only train,probe for some of them
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from campaign import row, write_rows

PATIENCE = 1200  # seconds for one command
MARKS = (
    "second",
    "minute",
    "time",
    "date",
    "version",
    "processor",
    "wall",
)  # of what may differ between runs
HAND_IN = """import json, sys
from pathlib import Path
from nbformat.v4 import new_code_cell, new_notebook
import nbformat

right = "def wavelet_norm(q_child, q_parent, measure):\\n    return abs(q_child - q_parent) * measure**0.5"
for name in ("ada", "bob", "carl", "dora"):
    place = Path(sys.argv[1]) / name
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(right)]), place / "04_wavelets.ipynb")
"""


def subjects(folder):
    """What is killed: by name the arguments of `mfoml`, with PLACE for what is written."""
    train = ("train", "mnist1d-conv", "--budget", "smoke", "--save-epochs", "--out")
    studies = {
        f"bench {name}": ("bench", name, "--quick", "--out") for name in ("probe", "ranking", "svsl", "clip")
    }
    return {
        "train": (*train, "PLACE", "--epochs", "4"),
        "probe": ("probe", folder / "given", "--samples", "300", "--trees", "2", "--out", "PLACE"),
        "collapse": ("collapse", "mnist1d-collapse", "--budget", "smoke", "--out", "PLACE"),
        "glue": ("glue", "--task", "reviews", "--budget", "smoke", "--n-train", "32", "--out", "PLACE"),
        "workshop": ("workshop", "--notebook", "01_tools", "--out", "PLACE"),
        "grading": (
            "exercises",
            "--grade",
            folder / "hands",
            "--trust",
            "--jobs",
            "1",
            "--out",
            "PLACE/grades.csv",
        ),
        **{name: (*command, "PLACE/record.json") for name, command in studies.items()},
    }


def prepared(folder):
    """The run that is probed and the hand-ins that are graded, made once."""
    if not (folder / "given").exists():
        finished(
            (
                "train",
                "mnist1d-conv",
                "--budget",
                "smoke",
                "--save-epochs",
                "--epochs",
                "2",
                "--out",
                folder / "given",
            )
        )
        subprocess.run([sys.executable, "-c", HAND_IN, str(folder / "hands")], check=True)


def started(command, before=(), settings=None):
    """The command in a process group of its own; another may stand before it, with settings of its own."""
    words = [*before, sys.executable, "-m", "mfoml_course", *map(str, command)]
    here = {**os.environ, "OMP_NUM_THREADS": "1", **(settings or {})}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    return subprocess.Popen(words, env=here, **pipes)


def finished(command, **around):
    """Seconds that the command took; RuntimeError with what it said where it fails."""
    began, process = time.monotonic(), started(command, **around)
    said = process.communicate(timeout=PATIENCE)[0]
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {said[-1500:]}")
    return time.monotonic() - began


def killed(command, seconds, **around):
    """Whether it was killed with all its children after that time; False where it had ended before."""
    process = started(command, **around)
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        return True


def plain(value, place):
    """A value without seconds, dates, versions and the name of the place that holds it."""
    if isinstance(value, dict):
        kept = {name: own for name, own in value.items() if not any(mark in name for mark in MARKS)}
        return {name: plain(own, place) for name, own in kept.items() if name != "fingerprint"}
    if isinstance(value, list):
        return [plain(own, place) for own in value]
    return value.replace(str(place), "PLACE") if isinstance(value, str) else value


def weights(value):
    """Tensors as digests of their bytes."""
    if isinstance(value, dict):
        return {str(name): weights(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [weights(own) for own in value]
    if hasattr(value, "numpy"):
        return hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
    return value


def content(path, place):
    """What a file says that two equal runs must agree on; the name alone of pages and pictures."""
    if path.suffix == ".jsonl":
        return [plain(json.loads(line), place) for line in path.read_text().splitlines()]
    if path.suffix == ".json" and not path.name.startswith("."):  # that one: digests of outputs with clocks
        return plain(json.loads(path.read_text()), place)
    if path.suffix in (".pt", ".pth", ".ckpt"):
        import torch

        kept = weights(torch.load(path, map_location="cpu", weights_only=True))
        for library in ("python", "numpy"):  # nobody seeds these: every process begins elsewhere
            kept.get("random", {}).pop(library, None)
        return plain(kept, place)
    return path.read_text().replace(str(place), "PLACE") if path.suffix == ".csv" else None


def contents(place):
    """Of all files below a folder."""
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    return {path.relative_to(place).as_posix(): content(path, place) for path in files}


def differences(one, other):
    """Names of the files that are in one only, or say something else."""
    return sorted(name for name in one | other if repr(one.get(name, ...)) != repr(other.get(name, ...)))


def in_place(command, place):
    """The command's words, with a new empty folder for what it writes."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return [str(word).replace("PLACE", str(place)) for word in command]


def differing(command, place, whole, **around):
    """What differs from the undisturbed run when the command runs to its end, or how it failed."""
    try:
        finished(command, **around)
        return differences(contents(whole), contents(place))
    except RuntimeError as error:
        return [str(error)]


def row_of(name, command, folder, n_kills, rng):
    """A subject that is killed again and again in one folder, and runs to its end then."""
    whole, again = folder / f"{name} whole", folder / f"{name} again"
    began, seconds = time.monotonic(), finished(in_place(command, whole))
    disturbed, moments = in_place(command, again), [rng.uniform(0.05, 0.95) for _ in range(n_kills)]
    kills = [moment for moment in moments if killed(disturbed, moment * seconds)]
    differs = differing(disturbed, again, whole)
    words = " ".join(["mfoml", *map(str, command)]).replace(str(folder), "FOLDER")
    moments, seconds = [round(moment, 2) for moment in kills], time.monotonic() - began
    return dict(subject=name, command=words, kills=moments, differs=differs, seconds=seconds)


def campaign_row(rows, n, seed):
    """What the page of the campaign says of them all."""
    kills, wrong = sum(len(one["kills"]) for one in rows), [one["subject"] for one in rows if one["differs"]]
    figure = f"{kills} kills in {len(rows)} commands ({', '.join(one['subject'] for one in rows)}), resumed: "
    figure += f"not equal: {', '.join(wrong)}" if wrong else "equal to the undisturbed runs"
    words = ["tests/kills.py", "--n", str(n), "--seed", str(seed), "--out", "FILE"]
    seconds = round(sum(one["seconds"] for one in rows))
    return row("kills at random moments, then resume", words, kills, len(wrong), figure, seconds)


def main():
    """Row by row into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names, with commas")
    parser.add_argument("--folder", type=Path, help="where it happens; default: a temporary one")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--row", type=Path, help="a JSON file with rows of the campaign, made or added to")
    asked = parser.parse_args()
    rows = json.loads(asked.out.read_text()) if asked.out.exists() else []
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    prepared(folder)
    every = subjects(folder)
    for number, (name, command) in enumerate(every.items()):
        n_kills = len(range(number, asked.n, len(every)))
        if any(row["subject"] == name for row in rows) or (asked.only and name not in asked.only.split(",")):
            continue
        rows.append(row_of(name, command, folder, n_kills, random.Random(f"{asked.seed} {name}")))
        asked.out.write_text(json.dumps(rows, indent=1))
        found = ", ".join(rows[-1]["differs"]) or "equal"
        print(f"{name:<14} killed at {rows[-1]['kills']}: {found} ({rows[-1]['seconds']:.0f} s)", flush=True)
    if asked.row:
        write_rows(asked.row, [campaign_row(rows, asked.n, asked.seed)])


if __name__ == "__main__":
    main()
