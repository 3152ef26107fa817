"""A run folder spoilt file by file: what the commands that read it say, as a table.

python tests/bad_places.py [--out FILE.md] [--record FILE.json] trains a small run, spoils its settings, its
checkpoint, a kept epoch and its log, each in many ways, and calls the commands that read them. What is
answered must be right all the same (FINE says why); an error must name the file or the folder.
"""

import argparse
import json
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from click.testing import CliRunner

from mfoml_course.course.cli import main as mfoml
from mfoml_course.records.tables import write_table

COMMANDS = {
    "train": "train mnist1d-conv --budget smoke --save-epochs --epochs 3 --out {run}",
    "probe": "probe {run} --samples 60 --trees 1 --no-interval --layers input",
    "collapse": "collapse {run}",
    "report": "report {run}",
}


class Evil:
    """What runs a command as it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("PWNED"),)


def settings_spoilt(good):
    """Kind, content of run.json."""
    settings = json.loads(good)
    less = {name: value for name, value in settings.items() if name != "network"}
    deep = b"[" * 100_000
    return {
        "truncated": good[:100],
        "empty": b"",
        "zeros": bytes(400),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "a list": b"[1]",
        "null": b"null",
        "nested 100,000 deep": deep,
        "a name twice": good.replace(b'"seed": 0', b'"seed": 0,\n "seed": 1'),
        "a number of 5,000 digits": good.replace(b'"width": 12', b'"width": ' + b"9" * 5000),
        "nan": good.replace(b'"lr": 0.01', b'"lr": NaN'),
        "a text for a number": good.replace(b'"depth": 5', b'"depth": "5"'),
        "true for a number": good.replace(b'"seed": 0', b'"seed": true'),
        "a setting less": json.dumps(less).encode(),
        "a setting of a later version": json.dumps(settings | {"momentum": 1}).encode(),
        "a path for a data set": good.replace(b'"dataset": "mnist1d"', b'"dataset": "../x"'),
        "more memory than there is": good.replace(b'"width": 12', b'"width": 99999999999'),
        "lines as on Windows": good.replace(b"\n", b"\r\n"),
    }


def checkpoints_spoilt(folder):
    """Kind, what is done to last.pt."""
    file, whole = folder / "last.pt", (folder / "last.pt").read_bytes()
    state = torch.load(file, weights_only=True)
    weight = whole.index(state["model"]["initial_layers.0.weight"].numpy().tobytes())
    flipped = whole[:weight] + bytes([whole[weight] ^ 1]) + whole[weight + 1 :]
    other = torch.optim.SGD([torch.zeros(3)], lr=1).state_dict()

    def saved(value):
        return lambda file: torch.save(value, file)

    def without(name):
        return saved({key: value for key, value in state.items() if key != name})

    return {
        "cut off": lambda file: file.write_bytes(whole[:50_000]),
        "empty": lambda file: file.write_bytes(b""),
        "a bit of a weight": lambda file: file.write_bytes(flipped),
        "a pickle": lambda file: file.write_bytes(pickle.dumps(Evil())),
        "torch's pickle": saved(Evil()),
        "a folder": lambda file: (file.unlink(), file.mkdir()),
        "the weights of an epoch": saved(state["model"]),
        "a list": saved([1, 2]),
        "a number": saved(3),
        "no weights": without("model"),
        "no optimizer": without("optimizer"),
        "no records": without("records"),
        "no random states": without("random"),
        "a plan that is no JSON": saved(state | {"plan": "{"}),
        "a plan that is a list": saved(state | {"plan": "[]"}),
        "another optimizer": saved(state | {"optimizer": other}),
        "another model": saved(state | {"model": {"w": torch.zeros(2)}}),
        "a weight more": saved(state | {"model": state["model"] | {"w": torch.zeros(2)}}),
        "an epoch that is a text": saved(state | {"epoch": "x"}),
    }


def epochs_spoilt(folder):
    """Kind, what is done to the file of epoch 0."""
    whole, last = (folder / "epochs" / "epoch_0000.pt").read_bytes(), (folder / "last.pt").read_bytes()
    return {
        "cut off": lambda file: file.write_bytes(whole[:9000]),
        "the last checkpoint": lambda file: file.write_bytes(last),
        "another model": lambda file: torch.save({"w": torch.zeros(2)}, file),
        "a pickle": lambda file: file.write_bytes(pickle.dumps(Evil())),
        "a copy beside it": lambda file: shutil.copy(file, file.with_name("epoch_0000 copy.pt")),
    }


def logs_spoilt(good):
    """Kind, content of records.jsonl."""
    first, second = good.splitlines(True)
    return {
        "torn in the middle": first[:30] + b"\n" + second,
        "two writers' lines": first[:40] + second + first[40:],
        "a list": b"[1]\n" + good,
        "a number": b"3\n" + good,
        "an empty line": first + b"\n" + second,
        "UTF-16": good.decode().encode("utf-16"),
        "zeros behind it": good + bytes(300) + b"\n",
        "nested 100,000 deep": b"[" * 100_000 + b"\n" + good,
        "torn at its end": good[:-20],
        "lines as on Windows": good.replace(b"\n", b"\r\n"),
    }


def attacks(folder):
    """File, kind, what is done to it, the commands that read it."""
    for kind, content in settings_spoilt((folder / "run.json").read_bytes()).items():
        yield "run.json", kind, lambda file, content=content: file.write_bytes(content), list(COMMANDS)
    for kind, spoil in checkpoints_spoilt(folder).items():
        yield "last.pt", kind, spoil, ["train"]
    for kind, spoil in epochs_spoilt(folder).items():
        yield "epochs/epoch_0000.pt", kind, spoil, ["probe", "collapse"]
    for kind, content in logs_spoilt((folder / "records.jsonl").read_bytes()).items():
        yield (
            "records.jsonl",
            kind,
            lambda file, content=content: file.write_bytes(content),
            ["report", "train"],
        )


# What is answered, and rightly so. A report shows the settings that the file holds, whatever they are. A copy
# beside an epoch is no epoch. The checkpoint keeps the records too, so training writes the log anew.
FINE = {("run.json", "lines as on Windows", command) for command in COMMANDS}
FINE |= {
    ("run.json", kind, "report")
    for kind in (
        "nan",
        "a text for a number",
        "true for a number",
        "a setting less",
        "a setting of a later version",
        "a path for a data set",
        "more memory than there is",
    )
}
FINE |= {("epochs/epoch_0000.pt", "a copy beside it", command) for command in ("probe", "collapse")}
FINE |= {("records.jsonl", kind, "report") for kind in ("torn at its end", "lines as on Windows")}


def is_fine(name, kind, command):
    """Whether an answer is no mistake."""
    return (name, kind, command) in FINE or (name == "records.jsonl" and command == "train")


def said_by(command, run):
    """The last line of a command, empty where it went through; `Traceback: ...` where it broke."""
    result = CliRunner().invoke(mfoml, COMMANDS[command].format(run=run).split(), prog_name="mfoml")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"Traceback: {type(result.exception).__name__}: {result.exception}"
    if not result.exit_code:
        return ""
    found = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    return (found or result.output.splitlines())[-1]


def main(arguments=None):
    """Make all attacks; print what was silent and what was obscure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    parser.add_argument("--record", type=Path, help="a JSON file for the same")
    options = parser.parse_args(arguments)
    rows, silent, obscure = [], [], []
    with tempfile.TemporaryDirectory() as top:
        good, run = Path(top, "good"), Path(top, "run")
        made = COMMANDS["train"].replace("--epochs 3", "--epochs 2").format(run=good)
        assert CliRunner().invoke(mfoml, made.split()).exit_code == 0
        for name, kind, spoil, commands in attacks(good):
            for command in commands:
                shutil.rmtree(run, ignore_errors=True)
                shutil.copytree(good, run)
                if name == "last.pt":
                    shutil.rmtree(run / "epochs")
                spoil(run / name)
                said = said_by(command, run).replace(str(run), "RUN")
                rows.append(dict(file=name, kind=kind, command=command, said=said))
                if not said and not is_fine(name, kind, command):
                    silent.append(f"{command}, {name}: {kind}")
                named = Path(name).name in said or "RUN" in said or "memory is full" in said
                if said and not (named or "folder run " in said) or said.startswith("Traceback"):
                    obscure.append(f"{command}, {name}: {kind}: {said[:200]}")
    assert not Path("PWNED").exists()
    if options.record:
        command = "python tests/bad_places.py --record FILE"
        write_table(options.record, rows, command=command, settings={})
    if options.out:
        lines = [f"| {row['file']} | {row['kind']} | {row['command']} | {row['said']} |" for row in rows]
        head = ["| file | what it was | command | what is said |", "|:--|:--|:--|:--|"]
        options.out.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    print(*(f"silent: {row}" for row in silent), *(f"obscure: {row}" for row in obscure), sep="\n")
    print(f"{len(rows)} attacks on a run folder: {len(silent)} silent, {len(obscure)} obscure")
    return int(bool(silent or obscure))


if __name__ == "__main__":
    sys.exit(main())
