"""Speed and accuracy, tracked by asv; see README.md."""
