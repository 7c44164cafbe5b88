"""All metadata lives in pyproject.toml; a later release builds the Cython inference runtime here."""

from setuptools import setup

setup()
