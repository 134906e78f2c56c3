"""Raw scans in many formats, and the chunked store that every later stage reads."""
