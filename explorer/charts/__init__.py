"""What figures are made of: look, data, and the cases behind each point. No Streamlit here."""
