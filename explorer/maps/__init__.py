"""Cases as points of maps, and what is done with points that are chosen. No Streamlit here."""
