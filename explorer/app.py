"""The app: `streamlit run explorer/app.py -- CASEBOOK…`, or simply `cxr-explorer serve CASEBOOK…`."""

from __future__ import annotations

from explorer.widgets.shell import run_app

run_app()
