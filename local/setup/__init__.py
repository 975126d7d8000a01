"""What local/setup.sh asks of Python: which packages are there, what this machine can build, and installing the rest.

Runs before anything is installed: standard library and pip only.
"""
