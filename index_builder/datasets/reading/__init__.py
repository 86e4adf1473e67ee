"""What readers share: tables, cells, films below a folder, studies, parts."""
