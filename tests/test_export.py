"""The committed modules are what the notebooks export."""

from mfoml_course.course.testing import export_differences


def test_modules_are_the_export_of_the_notebooks(root):
    assert export_differences(root) == [], "run nbdev-export and commit the modules with their notebooks"
