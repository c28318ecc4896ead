"""Lightning callbacks that configs name. They import vsearch, never the reverse."""
