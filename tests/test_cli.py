"""The commands as real processes: what they print, leave and return, also when they fail or end early."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time

import click
import nbformat
import psutil
import pytest
from click.testing import CliRunner

COMMAND = [sys.executable, "-c", "from mfoml_course.course.cli import main; main()"]
PID = "import os; print(os.getpid())"
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")


def start(course, *args, **options):
    return subprocess.Popen(
        [*COMMAND, *args], cwd=course, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(course, *args):
    done = start(course, *args)
    printed, errors = done.communicate(timeout=300)
    return done.returncode, printed, errors


def waits(running):
    """A cell that makes the file and then has to be interrupted."""
    return f"import time\nopen({str(running)!r}, 'w').close()\ntime.sleep(120)"


def outputs(path, cell):
    """The text that a cell printed or returned in an executed notebook; markdown counts as a cell."""
    found = nbformat.read(path, as_version=4).cells[cell].outputs
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in found)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_workshop_runs_the_rest_after_a_failure(make_course):
    course = make_course(
        a_fails=["x = 0", "1 / x", "x"],
        b_works=[
            "import os, sys; print(os.environ['MFOML_BUDGET'], os.environ['PLOTLY_RENDERER'])",
            "sys.executable",
        ],
    )
    before = files(course / "nbs")
    code, printed, errors = run(course, "workshop", "--budget", "laptop", "--out", "results")
    assert code == 1 and not errors
    assert "FAILED a_fails, cell 2:\n    1 / x\n  ZeroDivisionError: division by zero" in printed
    table = [
        line.split()
        for line in printed.splitlines()
        if line.startswith(("notebook ", "a_fails ", "b_works ")) and "(" not in line
    ]
    assert [(row[0], row[1], row[3]) for row in table] == [
        ("notebook", "cells", "result"),
        ("a_fails", "1/3", "failed"),
        ("b_works", "2/2", "ok"),
    ]
    assert outputs(course / "results" / "b_works.ipynb", 1).strip() == "laptop plotly_mimetype"
    assert outputs(course / "results" / "b_works.ipynb", 2).strip("'") == sys.executable.replace("\\", "\\\\")
    assert "ZeroDivisionError" in (course / "results" / "report" / "workshop" / "a_fails.html").read_text(
        encoding="utf-8"
    )
    assert files(course / "nbs") == before

    # A second run would overwrite the first's files, but not one that was edited since.
    copy = course / "results" / "b_works.ipynb"
    copy.write_text("edited")
    code, _, errors = run(course, "workshop", "--out", "results")
    assert code == 1 and "changed since" in errors and copy.read_text() == "edited"


def kernel_of(process, running):
    """The kernel's process, once the second cell runs and has made the file."""
    while not running.exists() and process.poll() is None:
        time.sleep(0.1)
    [kernel] = [
        child for child in psutil.Process(process.pid).children() if "ipykernel" in " ".join(child.cmdline())
    ]
    return kernel


@needs_signals
@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_the_kernel_and_keeps_what_was_done(make_course, tmp_path, number, code):
    running = tmp_path / "running"
    course = make_course(a_waits=[PID, waits(running)], b_never=["1"])
    process = start(course, "workshop")
    kernel = kernel_of(process, running)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == code and "Traceback" not in errors
    assert not kernel.is_running()
    rows = {
        line.split()[0]: line.split()[1:]
        for line in printed.splitlines()
        if line.startswith(("a_waits", "b_never"))
    }
    assert rows["a_waits"][0] == "1/2" and rows["a_waits"][-1] == "interrupted"
    assert rows["b_never"] == ["0/1", "0.0", "not", "run"]
    assert outputs(course / "mfoml-workshop" / "a_waits.ipynb", 1).strip() == str(kernel.pid)


def test_the_test_command_fails_with_a_cell_and_leaves_the_course_as_it_was(make_course):
    course = make_course(one=["x = 1", "assert x == 2"])
    (course / "tests").mkdir()
    (course / "tests" / "test_one.py").write_text(
        "import os\nfrom hypothesis import given, strategies\n\n"
        "@given(strategies.integers())\ndef test_one(n):\n"
        "    assert n == n and os.environ['IN_TEST'] == '1' and os.environ['MFOML_BUDGET'] == 'smoke'\n"
    )
    before = files(course)
    code, printed, _ = run(course, "test")
    assert code == 1 and "1 failed, 2 passed" in printed.strip().splitlines()[-1]
    assert files(course) == before


@needs_signals
def test_ctrl_c_ends_the_tests(make_course, tmp_path):
    running = tmp_path / "running"
    course = make_course(one=[waits(running)])

    def hears():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C

    process = start(course, "test", "-n0", start_new_session=True, preexec_fn=hears)
    while not running.exists() and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 130


@pytest.mark.parametrize("command", ["lab", "docs --serve"])
def test_a_used_port_is_told(make_course, command):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, _, errors = run(make_course(), *command.split(), "--port", str(port))
    assert code == 1 and f"port {port} is in use" in errors and f"mfoml {command} --port" in errors


def test_a_broken_notebook_file_is_told(make_course):
    course = make_course(one=["1"])
    (course / "nbs" / "workshop" / "two.ipynb").write_text("not json")
    code, _, errors = run(course, "workshop")
    assert code == 1 and "two.ipynb cannot be read as a notebook" in errors
    assert not (course / "mfoml-workshop").exists()


@pytest.mark.parametrize("statuses, code", [(["ok", "warn"], 0), (["ok", "fail", "warn"], 1)])
def test_the_doctor_fails_only_for_what_breaks(monkeypatch, statuses, code):
    from mfoml_course.course import doctor
    from mfoml_course.course.cli import main

    findings = [
        doctor.Check(f"part {i}", status, "found", "" if status == "ok" else "do it")
        for i, status in enumerate(statuses)
    ]
    monkeypatch.setattr(doctor, "CHECKS", (lambda: findings,))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == code and result.output.count("mend: do it") == len(statuses) - 1


BAD_LINES = {  # command line: words of the answer; {file} is a file, {run} a folder that holds no run
    "docs --out {file}": "is a file: name a folder",
    "docs --out {file}/below": "is a file: name a folder",
    "docs --out {run}": "holds files that are no pages of ours",
    "workshop --out {file}": "is a file",
    "workshop --notebook none": "unknown notebook 'none'",
    "train nothing": "unknown preset 'nothing'",
    "train mnist1d-conv --device foo --out {new}": "on device 'foo'",
    "train mnist1d-conv --device meta --out {new}": "on device 'meta'",
    "train mnist1d-conv --lr inf --out {new}": "expected --lr to be a finite number",
    "train mnist1d-conv --seed 4294967296 --out {new}": "--seed",
    "train mnist1d-conv --budget smoke --out {file}": "is a file: choose another folder",
    "train mnist1d-conv --budget smoke --out {run}": "holds no run of ours",
    "probe {run}": "is no run folder",
    "probe {file} --epochs 1,x": "like 1,40,85, got 'x'",
    "probe none.py:model --data none.py:loader --out {new}": "there is no file none.py",
    "probe none.py:model --out {new}": "needs --data FILE.py:LOADER and --out FOLDER",
    "report {run}": "is no run folder",
    "report {new}": "there is no folder",
    "report {file} {run}": "need a file of their own: --out FILE",
    "collapse mnist1d-collapse --svsl-weight nan --out {new}": "--svsl-weight to be a finite number",
    "collapse mnist1d-collapse --out {file}": "is a file: choose another folder",
    "collapse mnist1d-collapse --gamma 99 --svsl-weight 1 --out {new}": "expected --gamma in 0..5",
    "glue --task nothing": "unknown task 'nothing'",
    "glue --data {run} --out {new}": "no file of cola's train split",
    "glue --task reviews --budget smoke --first-layer 99 --svsl-weight 1 --out {new}": "expected --first",
    "bench encoders --out {file}": "is damaged",
    "bench ranking --out {file}": "is damaged",
    "bench core --quick --out {file}": "is damaged",
    "bench scale --quick --out {file}": "is damaged",
    "bench machines --quick --out {file}": "is damaged",
    "bench smoothness --quick --out {file}": "is damaged",
    "bench calibration --out {file}": "is damaged",
    "docs --pdf {file}": "holds something else, which would be lost",
    "bench probe --budget gpu --out {new}": "unknown budget 'gpu': choose one of smoke, laptop, hours",
    "lab --port 0": "--port",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_command_line_is_answered_in_a_sentence(line, make_course, tmp_path, monkeypatch):
    from mfoml_course.course.cli import main

    monkeypatch.chdir(make_course(one=["1"]))
    file, held, new = tmp_path / "file", tmp_path / "held", tmp_path / "new"
    file.write_text("{")
    held.mkdir()
    (held / "searchindex.js").write_text("mine")
    result = CliRunner().invoke(main, line.format(file=file, run=held, new=new).split())
    assert isinstance(result.exception, SystemExit) and result.exit_code in (1, 2), result
    assert BAD_LINES[line] in result.output, result.output
    assert not new.exists() or {path.name for path in new.rglob("*") if path.is_file()} <= {".lock"}
    assert (held / "searchindex.js").read_text() == "mine" and file.read_text() == "{"


HELD = {  # command line: the folder that it would write into
    "train mnist1d-conv --budget smoke --epochs 1 --out {out}": "",
    "collapse mnist1d-collapse --out {out}": "mnist1d-collapse-smoke-crossentropy",
    "glue --task reviews --budget smoke --out {out}": "",
}


@pytest.mark.parametrize("line", HELD)
def test_a_run_folder_in_use_names_its_process(line, tmp_path):
    from filelock import FileLock

    from mfoml_course.course.cli import main
    from mfoml_course.records import HOLDER_FILE, LOCK_FILE

    folder = tmp_path / HELD[line]
    folder.mkdir(exist_ok=True)
    with FileLock(folder / LOCK_FILE):
        (folder / HOLDER_FILE).write_text("4711")
        result = CliRunner().invoke(main, line.format(out=tmp_path).split())
        left = {path.name for path in folder.iterdir()}
    assert result.exit_code == 1 and "is in use by process 4711" in result.output, result
    assert left == {LOCK_FILE, HOLDER_FILE}


def every_command():
    """(words, command) of all commands, those of groups too."""
    from mfoml_course.course.cli import main

    for name, command in main.commands.items():
        below = getattr(command, "commands", None) or {}
        yield from ([name, each] for each in below) if below else [[name]]


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_ctrl_c_leaves_with_130(words, monkeypatch):
    from mfoml_course.course.cli import main

    command = main
    for word in words:
        command = command.commands[word]

    def stop(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "callback", stop)
    given = [getattr(param.type, "choices", ["8"])[0] for param in command.params if param.required]
    result = CliRunner().invoke(main, [*words, *given])
    assert result.exit_code == 130 and "stopped" in result.output, result


def places(command):
    """The options and arguments of a command that are files or folders."""
    return [param for param in command.params if isinstance(param.type, click.Path)]


@pytest.mark.parametrize("words", [words for words in every_command()], ids=" ".join)
def test_no_place_is_an_empty_name(words):
    from mfoml_course.course.cli import main
    from mfoml_course.course.terminal import Place

    command = main
    for word in words:
        command = command.commands[word]
    assert all(isinstance(param.type, Place) for param in places(command)), words
    for param in places(command):  # such as --out "$UNSET", which would be the current folder
        given = ["8" for other in command.params if other.required and other is not param]
        asked = [param.opts[0], ""] if isinstance(param, click.Option) else [""]
        result = CliRunner().invoke(main, [*words, *given, *asked])
        assert result.exit_code == 2 and "expected a name, got an empty one" in result.output, result.output


def test_a_reader_that_goes_away_is_no_error(monkeypatch):
    import mfoml_course.course.exercises as exercises
    from mfoml_course.course.cli import main

    def gone():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(exercises, "progress_lines", gone)
    result = CliRunner().invoke(main, ["exercises", "--progress"])
    assert result.exit_code == 1 and result.output == ""
