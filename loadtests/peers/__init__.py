"""The same bundle behind other servers, for side-by-side runs."""
