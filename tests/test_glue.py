"""A fine-tuning run that is killed goes on where it was: a notebook cannot be killed and stay to tell."""

import subprocess
import sys
import time

import pytest

from mfoml_course.training import read_records

COMMAND = [
    sys.executable,
    "-c",
    "from mfoml_course.course.cli import main; main()",
    "glue",
    "--task",
    "reviews",
    "--budget",
    "smoke",
    "--n-train",
    "32",
]


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    command = [*COMMAND, "--epochs", "3", "--out", str(tmp_path / "run")]
    records, checkpoint = tmp_path / "run" / "records.jsonl", tmp_path / "run" / "last.pt"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (
        records.exists() and checkpoint.stat().st_mtime_ns > records.stat().st_mtime_ns
    ):  # the checkpoint makes the epoch count
        assert process.poll() is None, "the run ended without an epoch"
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert read_records(records)["epoch"].max() < 3, "the run was over before it was killed"

    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "epoch   1" not in again.stdout, again
    assert list(read_records(records)["epoch"]) == [1, 2, 3]
    assert again.stdout.count(" logits ") == 2, (
        "the layers are measured before the first epoch and after the last, once each"
    )
