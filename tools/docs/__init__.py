"""Make what the documentation site shows: invented sample data, pictures, and pages of files outside docs/."""
