"""What was measured of a casebook, as tables and figures whose every point leads to its cases. No Streamlit here."""
