"""The package's metadata, read from settings.ini so that every number stands in one place."""

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


extras = {key.removesuffix("_requirements"): lines(key) for key in settings if key.endswith("_requirements")}
extras["dev"] = sorted({requirement for listed in extras.values() for requirement in listed})

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    keywords=settings["keywords"].split(),
    long_description=(here / "README.md").read_text(encoding="utf-8"),
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
