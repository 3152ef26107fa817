"""The lowest versions that settings.ini promises, as constraints: what pip and uv read with --constraint.

python tests/lowest.py > lowest.txt, then uv pip install --resolution lowest-direct --constraint lowest.txt
-e ".[dev]". Without the constraints uv goes above a bound where one of the newest packages beneath ours asks
for more, and says nothing; with them an installation fails whose bounds cannot be had together.
"""

import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def lowest(settings):
    """Every requirement of a settings.ini, in the order of its text: numpy>=2.0 becomes numpy==2.0.*"""
    config = ConfigParser(delimiters=["="])
    config.read_string(settings)
    listed = [
        text
        for key, text in config["DEFAULT"].items()
        if key == "requirements" or key.endswith("_requirements")
    ]
    lines = dict.fromkeys(line.strip() for text in listed for line in text.splitlines() if line.strip())
    return [re.sub(r">=([\d.]+)", r"==\1.*", line, count=1) for line in lines]


if __name__ == "__main__":
    sys.stdout.write("\n".join([*lowest((ROOT / "settings.ini").read_text("utf-8")), ""]))
