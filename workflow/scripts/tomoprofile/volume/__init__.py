"""Raw scans in many formats, and the chunked store every later stage reads."""
