"""The Streamlit code of the app; pages put these pieces together."""
