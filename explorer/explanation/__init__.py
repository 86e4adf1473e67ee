"""Why the system says what it says, as readers see it. No Streamlit here."""
