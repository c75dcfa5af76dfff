"""`eais run`: an unchanged program finds the pool where it imports onnxruntime.

`site/` is the folder that goes first on PYTHONPATH: its `sitecustomize.py` puts one finder
into each Python below the command. Nothing else is loaded until `onnxruntime` is imported;
then `modules` makes the package that stands in, from the table in `names`. What it doesn't
have comes from the real package, which `real` loads where it is installed.
"""

from __future__ import annotations
