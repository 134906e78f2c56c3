"""Objects: labels and measures of every domain, ours beside what people use today."""
