"""Few labelled slices, little time: the library's fine-tuning beside other ways to segment the same scans."""
