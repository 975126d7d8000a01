"""The Python part of local/setup.sh: which packages are installed, what can be built here, and installing the rest.

This runs before anything is installed, so it uses only the standard library and pip.
"""
