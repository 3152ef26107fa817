"""Commands where a machine is hard on them, compared with a run that nobody disturbed: by hand, as root.

python tests/places.py --row FILE.json [--place disk,home,clock,network] [--only train,probe]
writes a row a place for the page of the campaign (`python tests/campaign.py --add FILE.json`):

disk     a file system of .4 and of .75 of what the run writes, full on the way; then there is room
home     a home that cannot be written to
clock    every look at the clock is off by up to 30 years; killed on the way, then it goes on
network  no network but loopback
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from campaign import row, write_rows
from kills import PATIENCE, contents, differences, differing, finished, in_place, killed, prepared
from kills import started, subjects

SHARES = 0.4, 0.75  # of a run's size, that a disk has
PAGE = 4096  # bytes that a file system gives out
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
WITHOUT_NETWORK = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
CLOCK = """import random, time
draws, real = random.Random(), time.time
time.time = lambda: real() + draws.uniform(-3e8, 1e9)
"""


def size_of(place):
    """Bytes that a file system needs for what lies below a folder."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in place.rglob("*") if path.is_file())


@contextmanager
def small_disk(place, size):
    """A file system of so many bytes at a folder; gives what makes it larger."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def on_a_disk(command, place, whole, seconds):
    """Refused without a traceback where the disk is full on the way, whole when there is room."""
    wrong, n_full, size = [], 0, size_of(whole)
    for share in SHARES:
        words = in_place(command, place)
        with small_disk(place, int(share * size)) as enlarge:
            process = started(words)
            said = process.communicate(timeout=PATIENCE)[0]
            n_full += process.returncode != 0
            if process.returncode == 0:
                wrong += differences(contents(whole), contents(place))
            elif "Traceback" in said:
                wrong.append(f"{share} of {size}: {said[-300:]}")
            enlarge(8 * size)
            wrong += differing(words, place, whole)
    return wrong, n_full


def with_a_home(command, place, whole, seconds):
    """Equal, and nothing left in the home."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o555)
        wrong = differing(
            in_place(command, place),
            place,
            whole,
            before=WITHOUT_RIGHTS,
            settings={"HOME": folder, "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": ""},
        )
        return wrong + [path.name for path in home.rglob("*")], 1


def with_a_clock(command, place, whole, seconds):
    """Killed when half is done, then equal."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(CLOCK)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        words, settings = in_place(command, place), {"PYTHONPATH": path}
        killed(words, seconds / 2, settings=settings)
        return differing(words, place, whole, settings=settings), 1


def without_network(command, place, whole, seconds):
    """Equal."""
    return differing(in_place(command, place), place, whole, before=WITHOUT_NETWORK), 1


PLACES = {
    "disk": ("full disks (.4 and .75 of a run's size), then room", on_a_disk),
    "home": ("a home that cannot be written to", with_a_home),
    "clock": ("a clock that jumps by years, and a kill on the way", with_a_clock),
    "network": ("no network but loopback (unshare -n)", without_network),
}


def row_of_place(place, commands, seconds, folder):
    """All commands at one place; what went wrong is printed."""
    line, attack = PLACES[place]
    began, runs, faults = time.monotonic(), 0, []
    for name, command in commands.items():
        wrong, n = attack(command, folder / f"{name} {place}", folder / f"{name} whole", seconds[name])
        runs += n
        faults += [name] if wrong else []
        print(f"{place:<8} {name:<14} {wrong or 'equal'}", flush=True)
        shutil.rmtree(folder / f"{name} {place}")
    figure = f"{len(commands) - len(faults)} of {len(commands)} commands end as if undisturbed"
    figure += f"; not: {', '.join(faults)}" if faults else ""
    words = ["tests/places.py", "--place", place, "--row", "FILE"]
    return row(line, words, runs, len(faults), figure, round(time.monotonic() - began))


def main():
    """Place by place into the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--place", default=",".join(PLACES), help="names, with commas")
    parser.add_argument("--only", default="", help="names of commands, with commas")
    parser.add_argument("--row", type=Path, required=True, help="a JSON file, made or added to")
    asked = parser.parse_args()
    if os.geteuid():
        parser.error("only root can make such places")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        prepared(Path(folder))
        every = subjects(Path(folder))
        commands = {name: every[name] for name in filter(None, asked.only.split(","))} or every
        wholes = {
            name: in_place(command, Path(folder, f"{name} whole")) for name, command in commands.items()
        }
        seconds = {name: finished(words) for name, words in wholes.items()}
        for place in asked.place.split(","):
            rows.append(row_of_place(place, commands, seconds, Path(folder)))
            write_rows(asked.row, rows[-1:])
    return int(any(one["faults"] for one in rows))


if __name__ == "__main__":
    sys.exit(main())
