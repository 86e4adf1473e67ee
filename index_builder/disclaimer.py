"""What every page, report and answer says."""

DISCLAIMER = "For education and research, not for diagnosis."
