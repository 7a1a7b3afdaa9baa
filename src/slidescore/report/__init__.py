"""The run folder and every file in it: tables, overlay, pages, exports."""
