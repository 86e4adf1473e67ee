"""Offline half of CXR Explorer: datasets in, casebook out. Knows nothing of Streamlit."""
