"""Objects: labels and measures of every domain, ours compared with what people use today."""
