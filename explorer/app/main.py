"""The app: `streamlit run explorer/app/main.py -- CASEBOOK…`, or simply `cxr-explorer serve CASEBOOK…`."""

from __future__ import annotations

from explorer.app.shell import run_app

run_app()
