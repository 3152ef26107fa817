"""The package's metadata, read from settings.ini so that every number stands in one place."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]


def lines(key):
    """The entries of a list in settings.ini, one a line."""
    return [line.strip() for line in settings[key].splitlines() if line.strip()]


def absolute_links(text):
    """Markdown whose links lead to the repository, as a package index needs them; pictures to their files."""
    repository, branch = settings["git_url"].rstrip("/"), settings["branch"]
    pages = f"{repository}/blob/{branch}/"
    files = f"{repository.replace('https://github.com', 'https://raw.githubusercontent.com')}/{branch}/"
    text = re.sub(r"(!\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+)", rf"\1{files}\2?sanitize=true", text)
    return re.sub(r"(?<=\]\()(?![a-z]+:|#)(?=[^)\s])", pages, text)


extras = {key.removesuffix("_requirements"): lines(key) for key in settings if key.endswith("_requirements")}
extras["dev"] = sorted({requirement for listed in extras.values() for requirement in listed})

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    keywords=settings["keywords"].split(),
    long_description=absolute_links((here / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    license=settings["license"],
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        *[f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)],
    ],
    packages=find_packages(include=["mfoml_course", "mfoml_course.*"]),
    package_data={"mfoml_course": ["data/**"]},
    install_requires=lines("requirements"),
    extras_require=extras,
    entry_points={"console_scripts": lines("console_scripts")},
)
