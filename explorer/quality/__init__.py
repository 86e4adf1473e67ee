"""What may be wrong with the data of a casebook: labels, copies across parts, gaps, drift. No Streamlit here."""
