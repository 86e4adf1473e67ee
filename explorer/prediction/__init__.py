"""What a query is likely to show, and what can be promised of that. No Streamlit here."""
