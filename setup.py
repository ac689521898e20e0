"""The packages that a wheel holds; everything else about the project stands in pyproject.toml."""

from setuptools import find_packages, setup

# The configurations lie beside the package in a clone and inside it once installed. pyproject.toml
# cannot name a folder from elsewhere beside the packages that are found.
setup(
    packages=[*find_packages(include=["panoptic_deeplab*"]), "panoptic_deeplab.configs"],
    package_dir={"panoptic_deeplab.configs": "configs"},
    package_data={
        "": ["py.typed", "*.html", "*.css", "*.js", "*.json", "*.yml"],
        "panoptic_deeplab.configs": ["*/*.yml"],
        "panoptic_deeplab.weights": ["shipped/*/*"],
    },
)
