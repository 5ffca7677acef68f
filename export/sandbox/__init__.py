"""The process in which the user's code runs during an export."""
